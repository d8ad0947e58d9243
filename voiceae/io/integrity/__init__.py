"""Integrity of audio files: decoders shorten a damaged file silently, so the containers themselves are checked.

What each container shows, and what follows from it:

| container | told by | refused | taken, with a warning |
|---|---|---|---|
| WAV, RIFX, RF64 | length of `data`, chunks after it | fewer bytes than promised | length 0 or unknown, more bytes |
| W64, AIFF, CAF, AU, NIST | length of the samples | fewer bytes than promised | length 0, more bytes |
| Ogg | serial, number, checksum and position of every page | page missing, damaged, cut | no end mark |
| FLAC | numbers and checksums of frames, STREAMINFO | frame missing, damaged, cut | more than STREAMINFO says |
| MP3 | length of every frame; count (Xing, VBRI) | frame missing or cut, other bytes between | more than counted |

What none shows: samples changed or left out within the promised length (PCM containers have no checksum), an MP3
without a count that was cut between two frames, an Ogg without an end mark that was cut between two pages (a warning
says so), and whatever the writer itself left out.

Each module has `examine`, which walks a file in bounded memory and returns a `Layout`: what the decoder is given.
"""
