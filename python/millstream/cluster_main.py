"""What the interpreter of a real Spark runs for ``millstream run --on``: the program, on the master that was asked for.

Executed by its path, as ``python cluster_main.py SCRIPT ARGS``, by an interpreter that need not have Millstream. A
master that the program itself names gives way to ``MASTER``, as it does when the program runs on Millstream.
"""

import os
import sys


def _load_program():
    """Import the module beside this file, and leave no trace of this directory in the path of the program."""
    from importlib.util import module_from_spec, spec_from_file_location

    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.py")
    spec = spec_from_file_location("millstream_program", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keep_master(conf_class, master):
    """Let no program set another master than this one."""
    set_plain = conf_class.set

    def set_unless_master(self, key, value):
        if key == "spark.master" and value != master:
            print(f"millstream: --on {master} is used in place of the master {value} of the program", file=sys.stderr)
            value = master
        return set_plain(self, key, value)

    conf_class.set = set_unless_master


def main():
    """Run the program."""
    program = _load_program()
    sys.argv = sys.argv[1:]
    script = os.path.abspath(sys.argv[0])
    # What stands first in the path is this directory; execute() puts that of the program there.
    sys.path[0] = os.path.dirname(script)
    from pyspark.conf import SparkConf

    keep_master(SparkConf, os.environ["MASTER"])
    show = sys.excepthook

    def show_own_frames(kind, error, _):
        trace = program.trace_within(error, script)
        show(kind, error.with_traceback(trace), trace)

    # Python itself does the rest: the exit code, and the end by a signal after Ctrl-C.
    sys.excepthook = show_own_frames
    program.flush_lines()
    program.execute(script)


if __name__ == "__main__":
    main()
