"""Run the command line as `python -m voiceae`."""

from voiceae.cli import main

if __name__ == "__main__":
    main()
