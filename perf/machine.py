# SPDX-License-Identifier: MIT
"""What figures were measured on: without that they say little."""
import os
import platform
import re
import subprocess
import time


def said_by(*words):
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True,
                              cwd=os.path.dirname(os.path.realpath(__file__))).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine():
    """In a few lines: processors, memory, date and load, OpenSSL, the commit."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        models = re.findall(r"^model name\s*: (.*)$", f.read(), re.M)
    with open("/proc/meminfo", encoding="utf-8") as f:
        total_kib = int(f.readline().split()[1])
    lines = [f"{len(models)} x {models[0] if models else platform.machine()}",
             f"{total_kib / (1 << 20):.1f} GiB memory, Linux {platform.release()}",
             time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
             + f", load of the last minute {os.getloadavg()[0]:.1f}",
             said_by("openssl", "version")]
    commit = said_by("git", "describe", "--always", "--exclude=*", "--dirty")
    return "\n".join([line for line in lines if line] + [f"commit {commit}"] * bool(commit))
