"""Has a webserver read its code locations anew: when asked to, and after each replacement of a code server."""
