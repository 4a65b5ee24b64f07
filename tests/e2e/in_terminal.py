#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""in_terminal.py COLUMNS[,LATER] COMMAND...: runs it in a terminal of so many columns, of so many later
once it shows a bar, and checks what it writes there: no line is wider, and lines are written over only
where TERM and NO_COLOR allow it. 0 columns: a serial line, where COLUMNS counts."""
import fcntl, os, pty, re, struct, sys, termios


def set_columns(fd, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))


def run(columns, later, command):
    """What it writes, before and after the change, and its exit status."""
    pid, fd = pty.fork()
    if not pid:
        set_columns(0, columns)
        os.execvp(command[0], command)
    before, after, changed = b'', b'', False
    while True:
        try:
            piece = os.read(fd, 4096)
        except OSError:  # the end, as Linux has it
            break
        if not piece:
            break
        before, after = (before, after + piece) if changed else (before + piece, after)
        if later and not changed and b'[' in before and before.count(b' %') > 3:
            set_columns(fd, later)
            changed = True
    return before.decode(), after.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def lines(text):
    return [re.sub('\033\\[[0-9;]*[mK]', '', line) for line in re.split('[\r\n]+', text)]


def check(text, columns):
    for line in lines(text):
        if len(line) >= columns:
            sys.exit(f'{len(line)} of {columns} columns: {line}')


def main(columns, command):
    columns, _, later = columns.partition(',')
    before, after, status = run(int(columns), int(later or 0), command)
    sys.stdout.write(before + after)
    if status:
        sys.exit(f'exit code {status}')
    check(before, int(columns) or int(os.environ['COLUMNS']))
    # What was under way when the width changed may still be as wide as before.
    check(after.partition('\r')[2].partition('\r')[2], int(later or columns) or int(os.environ['COLUMNS']))
    bars = [line for line in lines(before + after) if re.match(r'round \d+  \[[#█▏▎▍▌▋▊▉ ]+\] ', line)]
    plain = os.environ['TERM'] == 'dumb' or 'NO_COLOR' in os.environ
    if plain and (bars or '\033' in before + after):
        sys.exit('lines are written over where they must not be')
    if later and (len(bars) < 5 or len(max(bars, key=len)) < int(later) or len(bars[-1]) >= int(later)):
        sys.exit(f'no bars of both widths: {bars}')
    figures = r'\d %  .*\d MiB .* left' if int(columns) >= 80 else r'\d %  .* left'
    if not all(re.search(figures, bar) for bar in bars):
        sys.exit(f'bars without figures: {bars}')


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:])
