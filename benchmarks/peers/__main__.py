"""Makes the peers' environments from the pinned requirements beside this file: ``python -m benchmarks.peers``."""

import subprocess
import sys
import venv

from benchmarks.peers.process import SCRIPTS, VENVS


def main() -> None:
    """One environment per requirements file; those that are there are brought up to date."""
    for requirements in sorted(SCRIPTS.glob("*.txt")):
        folder = VENVS / requirements.stem
        if not (folder / "bin" / "python").exists():
            venv.create(folder, with_pip=True)
        print(f"{requirements.stem}: {folder}", file=sys.stderr)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", "--requirement", requirements], check=True)


if __name__ == "__main__":
    main()
