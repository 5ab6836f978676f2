"""From a phrase to the things that it names.

1. What precedes "of" is left out if it is a picture or a quantity: "a photo of", "a bunch of".
2. The longest words of the lexicon are found: "fire engine" before "engine", "guinea pigs" as "guinea pig".
3. The phrase ends at the first preposition, relative pronoun or verb behind a thing: of "a man holding a fish" stays
   "a man". What follows describes and is not asked for.
4. Commas, "and" and "or" join things that count equally: "a cat and a dog". Each must be known.
5. Of each, the last noun counts: "red sports car" is a sports car. Adjectives, adverbs and verbs behind it are passed
   over; any other word there makes the text unknown, since then that word is the noun: "dog sadness".
6. A word that is not English may be a typing error ("girafe") or two words in one ("goldenretriever").
7. A given name before one more word is a person's name: "Taylor Swift" is no bird.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xtool_photo.grammar import CUTS, JOINS, PICTURES, QUANTITIES, SILENT
from xtool_photo.lexicon import Lexicon
from xtool_photo.spelling import corrected
from xtool_photo.words import COMMA, plain, tokens

__all__ = ["Reading", "read"]


@dataclass(frozen=True, slots=True)
class Reading:
    """The words of the lexicon that a text comes down to; none, with the reason, if it is not known."""

    words: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Part:
    """A word of the lexicon, or any other token."""

    word: str
    is_thing: bool


def read(text: str, lexicon: Lexicon) -> Reading:
    """What a text names. Never fails: what cannot be read is unknown."""
    spoken = _without_frame(tokens(text), lexicon)
    if not any(token != COMMA for token in spoken):
        return Reading((), _nothing(text))
    if _is_a_name(text, spoken, lexicon):
        return Reading((), "it looks like a person's name")
    found: list[str] = []
    for phrase in _phrases(_parts(spoken, lexicon), lexicon):
        noun = _noun(phrase, lexicon)
        if noun is None:
            continue
        thing = noun.word if noun.is_thing else _mended(noun.word, lexicon)
        if thing is None:
            return Reading((), _unknown(noun.word, lexicon))
        if thing not in found:
            found.append(thing)
    if not found:
        return Reading((), f"{_last(spoken)!r} names nothing that it has a class for")
    return Reading(tuple(found))


def _without_frame(spoken: list[str], lexicon: Lexicon) -> list[str]:
    """Cut "a bad photo of many" and "a bunch of" off the front, as often as they stand there."""
    while "of" in spoken[1:]:
        end = spoken.index("of")
        front = [token for token in spoken[:end] if token not in SILENT]
        framed = bool(front) and front[-1] in PICTURES | QUANTITIES and " ".join(spoken[: end + 2]) not in lexicon
        if not framed or COMMA in front:
            break
        spoken = spoken[end + 1 :]
    return spoken


def _parts(spoken: Sequence[str], lexicon: Lexicon) -> list[_Part]:
    parts = []
    start = 0
    while start < len(spoken):
        for length in range(min(lexicon.longest, len(spoken) - start), 0, -1):
            run = spoken[start : start + length]
            if length == 1 and run[0] in SILENT | CUTS:
                continue
            if COMMA not in run and (word := lexicon.singular(" ".join(run))):
                parts.append(_Part(word, True))
                start += length
                break
        else:
            parts.append(_Part(spoken[start], False))
            start += 1
    return parts


def _phrases(parts: Sequence[_Part], lexicon: Lexicon) -> list[list[_Part]]:
    """The noun phrases that are asked for."""
    phrases: list[list[_Part]] = [[]]
    seen_noun = False
    for part in parts:
        if part.is_thing:
            phrases[-1].append(part)
            seen_noun = True
        elif part.word == COMMA or part.word in JOINS:
            phrases.append([])
        elif seen_noun and (part.word in CUTS or _is_doing(part.word, lexicon)):
            break
        elif part.word not in SILENT | CUTS:
            phrases[-1].append(part)
            seen_noun = seen_noun or not lexicon.is_quality(part.word)
    return phrases


def _is_doing(word: str, lexicon: Lexicon) -> bool:
    """Whether a word behind a thing is a verb that says what it does: "running", "parked"."""
    stem = word.removesuffix("ing") if word.endswith("ing") else word.removesuffix("ed")
    if stem == word or len(stem) < 2:
        return False
    return any(lexicon.is_quality(form) for form in (word, stem, stem + "e", stem[:-1]))


def _noun(phrase: Sequence[_Part], lexicon: Lexicon) -> _Part | None:
    """The last part that is a noun; ``None`` if all only describe."""
    for part in reversed(phrase):
        if part.is_thing or not (lexicon.is_quality(part.word) or _is_doing(part.word, lexicon)):
            return part
    return None


def _mended(word: str, lexicon: Lexicon) -> str | None:
    if lexicon.is_no_thing(word) or lexicon.is_given_name(word) or lexicon.is_surname(word):
        return None
    return lexicon.joined(word) or corrected(word, lexicon.common_words)


def _is_a_name(text: str, spoken: list[str], lexicon: Lexicon) -> bool:
    """A given name and one or two more words, without an article; a name that is also a thing needs capitals.

    In "an image of a Taylor Swift." the article is the prompt's, not the asker's.
    """
    framed = len(spoken) < len(tokens(text))
    if framed and spoken[0] in ("a", "an"):
        spoken = spoken[1:]
    written = text.strip().rstrip(".!?").split()[-len(spoken) :]
    if not 2 <= len(spoken) <= 3 or [plain(word) for word in written] != spoken or not lexicon.is_given_name(spoken[0]):
        return False
    if lexicon.singular(" ".join(spoken)) or any(token in SILENT | CUTS | JOINS for token in spoken):
        return False
    return spoken[0] not in lexicon or all(word[0].isupper() for word in written)


def _nothing(text: str) -> str:
    if any(sign.isalpha() for sign in text):
        return "it is not in Latin letters, and this encoder knows only English"
    return "there is no word in it"


def _unknown(word: str, lexicon: Lexicon) -> str:
    if lexicon.is_no_thing(word):
        return f"{word!r} names nothing that it has a class for"
    if lexicon.is_given_name(word) or lexicon.is_surname(word):
        return f"{word!r} is a name"
    return f"{word!r} is not among its words"


def _last(spoken: Sequence[str]) -> str:
    return next(token for token in reversed(spoken) if token != COMMA)
