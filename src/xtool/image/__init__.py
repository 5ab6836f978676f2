"""From a picture file to an encoder's input, and maps and boxes back to the image."""
