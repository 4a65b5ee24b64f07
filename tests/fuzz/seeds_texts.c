/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "cmd/xmigrate/session/router_words.h"
#include "tests/fuzz/seeds.h"

#include <string.h>

#define KEY_A "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define KEY_B "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB0"
#define KEY_C "SHA256:+++++++++++++++++++++++++++++++++++++++++++"

/* With its NULs, but for the last one. */
#define SAVE(dir, target, seed, text) save(dir, target, seed, text, sizeof(text) - 1)

static void make_options(const char *dir)
{
    SAVE(dir, "options", "live",
        "--live\0--lanes\0004\0--max-downtime=300ms\0--bandwidth\0"
        "10G\0--compress=lz4\0host2:8002\0web1\0");
    SAVE(dir, "options", "limits",
        "--live\0--max-rounds=30\0--max-time=10m\0--max-bytes=20G\0--on-stall=throttle\0"
        "--connect-timeout=5s\0--silent-timeout=30s\0--suspend-timeout=60s\0[::1]\0web1\0");
    SAVE(dir, "options", "estimate", "--estimate\0--json\0host2\0web1\0");
    SAVE(dir, "options", "offline", "--offline\0-qv\0--start-timeout=30s\0host2\0--\0-web1\0");
    SAVE(dir, "options", "checkpoint",
        "--checkpoint\0--every=10s\0--keep\0"
        "5\0--while-suspended=true\0/srv/g\0web1\0");
    SAVE(dir, "options", "restore",
        "--restore\0--disk=xvda=/dev/vg/copy\0--clone\0--name=h\0--paused\0/srv/g\0");
    SAVE(dir, "options", "listen", "--listen\0--insecure\0--config-dir\0/etc/x\0:8003\0");
    SAVE(dir, "options", "trust", "--trust\0" KEY_A "\0host2\0");
    SAVE(dir, "options", "untrust", "--untrust\0host2\0");
    SAVE(dir, "options", "rest", "--identity\0--recover\0--resume\0--monitor\0--help\0--version\0");
}

static void make_helper(const char *dir)
{
    SAVE(dir, "helper", "save",
        "--save-domain\0003\000-1\0007\0001\000136\0000\000\000"
        "\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    SAVE(dir, "helper", "restore",
        "--restore-domain\0003\000-1\0007\0001\0000\0002\0000\000256\0000\000\000"
        "\0\0\0\0\0\0\0\0\0\0\0\0");
}

/* The longest line of the log, where libxl's replies would stand. */
static void make_long_line(const char *dir)
{
    static const char words[] = "--save-domain\0003\000-1\0007\0001\000136\0000\0";
    static char text[sizeof(words) + LOG_LINE_BYTES];

    memcpy(text, words, sizeof(words));
    memset(text + sizeof(words), 'x', LOG_LINE_BYTES - 1);
    save(dir, "helper", "long", text, sizeof(text));
}

static void make_config(const char *dir)
{
    SAVE(dir, "config", "pv",
        "{\"c_info\":{\"type\":\"pv\",\"name\":\"web1\","
        "\"uuid\":\"00112233-4455-6677-8899-aabbccddeeff\",\"xsdata\":{\"a\":\"b\"},"
        "\"run_hotplug_scripts\":\"True\"},\"b_info\":{\"max_vcpus\":2,\"avail_vcpus\":[0,1],"
        "\"numa_placement\":\"<default>\",\"max_memkb\":65536,\"target_memkb\":65536,"
        "\"shadow_memkb\":1024,\"sched_params\":{\"weight\":256,\"cap\":50},"
        "\"claim_mode\":\"True\",\"kernel\":\"/k\",\"cmdline\":\"ro\",\"type.pv\":{}},"
        "\"disks\":[{\"pdev_path\":\"/dev/vg/web1\",\"vdev\":\"xvda\",\"format\":\"raw\","
        "\"readwrite\":1}],\"nics\":[{\"devid\":0,\"mac\":\"00:16:3e:00:00:01\","
        "\"bridge\":\"xenbr0\",\"script\":\"/etc/xen/scripts/vif-bridge\",\"nictype\":\"vif\"}],"
        "\"on_poweroff\":\"destroy\",\"on_reboot\":\"restart\",\"on_crash\":\"preserve\"}");
    SAVE(dir, "config", "pvh",
        "{\"c_info\":{\"type\":\"pvh\",\"name\":\"web2\",\"hap\":\"True\"},"
        "\"b_info\":{\"max_vcpus\":1,\"iomem\":[{\"start\":1,\"number\":2,\"gfn\":"
        "18446744073709551614}],"
        "\"ioports\":[{\"first\":1,\"number\":2}],\"irqs\":[5],\"cpuid\":[{\"leaf\":1,"
        "\"eax\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}],\"type.pvh\":{\"pvshim\":\"False\"},"
        "\"arch_arm\":{\"gic_version\":\"v2\"}},"
        "\"p9s\":[{\"tag\":\"t\",\"path\":\"/\"}],\"channels\":[{\"devid\":0,\"name\":\"c\","
        "\"connection.socket\":{\"path\":\"/s\"}}],\"pcidevs\":[{\"func\":0,\"dev\":1,\"bus\":2}],"
        "\"vtpms\":[{\"devid\":0}],\"usbctrls\":[{\"type\":\"pv\"}]}");
    SAVE(dir, "config", "policies",
        "{\"c_info\":{\"type\":\"pvh\",\"name\":\"web3\"},\"b_info\":{\"cpuid\":{\"cpuid\":[{"
        "\"leaf\":1,"
        "\"eax\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}],\"msr\":[{\"index\":266,"
        "\"policy\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}]},"
        "\"type.pvh\":{}}}");
    SAVE(dir, "config", "a leaf that is none",
        "{\"c_info\":{\"name\":\"web4\"},\"b_info\":{\"cpuid\":[{\"leaf\":\"True\"},{\"leaf\":1,"
        "\"eax\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}],\"type.pvh\":{}}}");
}

static void make_policy(const char *dir)
{
    SAVE(dir, "policy", "some",
        "# ours\ndisk none\ndisk /dev/vg0/*\nbridge guests[0-9]\nscript block-iscsi\nkernel /k\n"
        "bootloader /b\nmemory 64G\nvcpus 8\nbandwidth 10G\nallow vfbs.vnc.listen\n\0"
        "{\"c_info\":{\"type\":\"pv\",\"driver_domain\":\"True\"},\"b_info\":{\"max_vcpus\":9,"
        "\"max_memkb\":65536,\"iomem\":[{}],\"kernel\":\"/etc/shadow\",\"type.pv\":{}},"
        "\"disks\":[{\"pdev_path\":\"/dev/sda\",\"vdev\":\"xvda\",\"script\":\"block\"}],\"nics\":"
        "[{\"bridge\":\"br0\",\"script\":\"/etc/xen/scripts/vif-bridge\",\"ip\":\"10.0.0.1\"}],"
        "\"vfbs\":[{\"vnc\":{\"listen\":\"0.0.0.0\"}}],\"p9s\":[{\"path\":\"/\"}]}");
    SAVE(dir, "policy", "empty", "\0{\"nics\":[{}],\"new\":{\"a\":[1]}}");
}

static void make_router(const char *dir)
{
    static const uint8_t tokens[2 * PREAMBLE_TOKEN_BYTES] = {1, 2, 3};
    const struct caller caller = {
        {"SHA256:abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "host1", TRUST_SEND},
        "10.0.0.1:40000", 20 * NS_PER_MS};
    uint8_t said[ROUTER_MAX_SAID_BYTES];

    save(dir, "router", "admit", said, router_say_admit(&caller, said));
    save(dir, "router", "register", said, router_say_register(2, tokens, said));
}

/* libxl's own stream around the save helper's part, and a device model's talk. */
static void make_neighbours(const char *dir)
{
    SAVE(dir, "frame", "whole",
        "\3LibxlFmt\0\0\0\2\0\0\0\0\1\0\0\0\0\0\0\0"
        "\0\0\0\0\0\0\0\0");
    SAVE(dir, "monitor", "talk",
        "\3{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}}, "
        "\"capabilities\": [\"oob\"]}}\r\n{\"return\": {}}\r\n{\"timestamp\": {\"seconds\": 1}, "
        "\"event\": \"STOP\"}\r\n{\"return\": {\"status\": \"paused\", \"running\": false}}\r\n"
        "{\"return\": {}}\r\n{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\r\n"
        "{\"return\": {}}\r\n");
}

void make_texts(const char *dir)
{
    make_router(dir);
    make_neighbours(dir);
    make_options(dir);
    make_helper(dir);
    make_long_line(dir);
    make_config(dir);
    make_policy(dir);
    SAVE(dir, "history", "some",
        "bk"
        "b k 5000000\nb j 7\nc k 9\nb k 600000000000\nb k 1\nb k 2\nb k 3\n");
    SAVE(dir, "trust", "some",
        "# the rack\n\n" KEY_A "\thost1\n  # below\n" KEY_B " r receive\n" KEY_C
        " b send,status\n");
    SAVE(dir, "trust", "names", KEY_A " " KEY_C "\n" KEY_C " " KEY_A "\n      \n");
}
