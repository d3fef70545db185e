"""Runs a command against a server of its own: `{remote}` in the arguments becomes its address.

python bench/with_server.py COMMAND [ARG...]
"""

import pathlib
import subprocess
import sys


def main() -> int:
    millstream = pathlib.Path(sys.executable).with_name("millstream")
    server = subprocess.Popen([str(millstream), "serve", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        remote = server.stdout.readline().strip()
        if not remote.startswith("sc://"):
            print("the server did not start", file=sys.stderr)
            return 2
        return subprocess.run([arg.replace("{remote}", remote) for arg in sys.argv[1:]]).returncode
    finally:
        server.terminate()
        server.wait(timeout=20)


if __name__ == "__main__":
    sys.exit(main())
