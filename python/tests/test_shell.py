"""``millstream shell`` on a program from a pipe."""

import subprocess

from millstream.shell import _begins_a_statement


def piped(millstream, text):
    running = millstream("shell", stdin=subprocess.PIPE)
    running.process.stdin.write(text)
    running.process.stdin.close()
    return running


def test_statements_run_one_by_one_and_values_are_shown(millstream):
    program = "x = 2\nx * 3\nprint('p')\ndef f(y):\n    return y\nf('v')\nNone\nspark.range(2).count()\n"
    code, out, err = piped(millstream, program).finish()
    assert (code, err) == (0, "")
    assert out == "6\np\n'v'\n2\n"


def test_an_error_is_shown_and_the_next_statement_runs(millstream):
    code, out, err = piped(millstream, "1/0\nx = (\n  1 +\n  2)\nx\ny = (\n").finish()
    assert (code, out) == (0, "3\n")
    assert "ZeroDivisionError" in err and "SyntaxError" in err and "millstream/shell.py" not in err


def test_a_streaming_program_can_be_interrupted(millstream, lines):
    program = (
        "lines = spark\\\n    .readStream\\\n    .format('socket')\\\n"
        f"    .option('host', 'localhost')\\\n    .option('port', {lines('b')})\\\n    .load()\n\n"
        "print(lines.isStreaming)\n"
        "query = lines.writeStream.format('console').start()\n"
        "query.awaitTermination()\n"
    )
    running = piped(millstream, program)
    running.wait_for("|    b|")
    running.interrupt()
    code, out, err = running.finish()
    assert code == 0
    assert out.startswith("True\n") and "KeyboardInterrupt" in err


def test_blocks_go_on_at_else_and_end_at_the_next_statement():
    assert _begins_a_statement("x = 1") and _begins_a_statement("@decorator") and _begins_a_statement("elsewhere = 1")
    for line in ("else:", "except(ValueError):", "finally:", "  x = 1", "", ")", "# comment"):
        assert not _begins_a_statement(line), line
