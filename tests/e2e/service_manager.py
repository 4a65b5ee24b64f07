#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What systemd does for dist/xmigrate.service: service_manager.py tcp|udp COMMAND...

It holds a socket, passes it to the command (sd_listen_fds(3)) and hears what that says of itself
(sd_notify(3)): a line on standard output for each thing. SIGUSR1 starts the command anew, as with
KillMode=process. It ends with the command, with its exit code, or by SIGTERM, of which the command
hears too."""
import os, select, signal, socket, sys, tempfile

kind, command = sys.argv[1], sys.argv[2:]
listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
listening.bind(('127.0.0.1', 0))
if kind == 'tcp':
    listening.listen(128)
notify_path = os.path.join(tempfile.mkdtemp(dir='.'), 'notify')
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(notify_path)
anew = False


def say(text):
    print(text, flush=True)


def start():
    pid = os.fork()
    if pid == 0:
        os.dup2(listening.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()),
                          NOTIFY_SOCKET=os.path.abspath(notify_path))
        os.execvp(command[0], command)
    say(f'pid {pid}')
    return pid


def start_anew(*_):
    global anew
    anew = True
    os.kill(main, signal.SIGTERM)


def hear(seconds):
    if select.select([notify], [], [], seconds)[0]:
        for line in notify.recv(4096).decode().splitlines():
            say(f'notified {line}')
        return True
    return False


say(f'port {listening.getsockname()[1]}')
main = start()
signal.signal(signal.SIGUSR1, start_anew)
signal.signal(signal.SIGTERM, lambda *_: os.kill(main, signal.SIGTERM))
while True:
    hear(0.05)
    ended, status = os.waitpid(main, os.WNOHANG)
    if not ended:
        continue
    while hear(0):
        pass
    if not anew:
        sys.exit(os.waitstatus_to_exitcode(status))
    anew = False
    main = start()
