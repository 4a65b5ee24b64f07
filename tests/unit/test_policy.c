/* SPDX-License-Identifier: MIT */
/* What a policy file says, and which configurations it lets in. The configurations are as libxl
 * 4.17 writes them. */
#include "cmd/xmigrate/session/policy_check.h"
#include "tests/unit/hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH "/etc/xmigrate/policy"

#define ORDINARY                                                                                   \
    "{\"c_info\":{\"type\":\"pv\",\"name\":\"web1\",\"uuid\":\"u\",\"driver_domain\":\"False\","   \
    "\"passthrough\":\"disabled\",\"run_hotplug_scripts\":\"True\"},\"b_info\":{\"max_vcpus\":2,"  \
    "\"avail_vcpus\":[0,1],\"max_memkb\":65536,\"target_memkb\":65536,\"shadow_memkb\":1024,"      \
    "\"sched_params\":{\"weight\":256,\"cap\":0},\"claim_mode\":\"False\",\"kernel\":"             \
    "\"/boot/vmlinuz-6.1\",\"ramdisk\":\"/boot/initrd.img-6.1\",\"cmdline\":\"root=/dev/xvda "     \
    "ro\",\"bootloader\":\"pygrub\",\"cpuid\":[{\"leaf\":1}],\"type.pv\":{},\"arch_arm\":{},"      \
    "\"altp2m\":\"disabled\"},\"disks\":[{\"pdev_path\":\"/dev/vg0/web1\",\"vdev\":\"xvda\","      \
    "\"format\":\"raw\",\"readwrite\":1,\"script\":\"block\"},{\"pdev_path\":"                     \
    "\"/var/lib/xen/images/web1.img\",\"vdev\":\"xvdb\"}],\"nics\":[{\"devid\":0,\"mac\":"         \
    "\"00:16:3e:00:00:01\",\"ip\":\"10.0.0.1 fe80::1/64\",\"bridge\":\"xenbr0\",\"script\":"       \
    "\"/etc/xen/scripts/vif-bridge\",\"nictype\":\"vif\"},{\"devid\":1}],\"vfbs\":[{\"devid\":0,"  \
    "\"vnc\":{\"enable\":\"True\",\"listen\":\"127.0.0.1\"},\"sdl\":{\"enable\":\"False\"}}],"     \
    "\"vkbs\":[{\"devid\":0}],\"on_poweroff\":\"destroy\",\"on_reboot\":\"restart\","              \
    "\"on_crash\":\"preserve\"}"

/* The configuration passes under that file. */
static void assert_in(const char *file, const char *config)
{
    static struct policy p;
    struct err e = ERR_INIT;

    policy_init(&p, PATH);
    assert_int_equal(policy_parse(&p, PATH, file, &e), 0);
    if (policy_check(&p, config, "web1", &e))
        fail_msg("under \"%s\": %s", file, e.text);
}

/* It does not, in these words. */
static void assert_out(const char *file, const char *config, const char *words)
{
    static struct policy p;
    struct err e = ERR_INIT;

    policy_init(&p, PATH);
    assert_int_equal(policy_parse(&p, PATH, file, &e), 0);
    assert_int_equal(policy_check(&p, config, "web1", &e), -EPERM);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_null(strchr(e.text, '\n'));
    if (!strstr(e.text, words))
        fail_msg("\"%s\" does not say \"%s\"", e.text, words);
}

/* Refused by the built-in policy; the line that it names, and no other, lets it in. */
static void assert_widened(const char *config, const char *field, const char *line)
{
    char words[256];

    snprintf(words, sizeof(words), "have %s", field);
    assert_out("", config, words);
    snprintf(words, sizeof(words), "write \"%s\" into " PATH, line);
    assert_out("", config, words);
    assert_out("allow b\nallow c_inf\nallow on_crash\n", config, field);
    assert_in(line, config);
}

static void an_ordinary_guest_comes_in(void **state)
{
    (void)state;
    assert_in("", ORDINARY);
    assert_in("", "{}");
    assert_in("", "{\"c_info\":{},\"b_info\":{\"type.pvh\":{},\"iomem\":[]},\"p9s\":[]}");
}

static void an_ordinary_hvm_guest_comes_in(void **state)
{
    (void)state;
    assert_in("",
        "{\"c_info\":{\"type\":\"hvm\"},\"b_info\":{\"device_model_version\":\"qemu_xen\","
        "\"type.hvm\":{\"bios\":\"seabios\",\"acpi\":\"True\",\"viridian\":\"True\","
        "\"viridian_enable\":[0,1],\"vga\":{\"kind\":\"stdvga\"},\"vnc\":{\"enable\":"
        "\"True\",\"listen\":\"127.0.0.1\",\"findunused\":\"True\"},\"serial\":\"pty\","
        "\"boot\":\"cd\",\"usb\":\"True\",\"usbdevice\":\"tablet\",\"keymap\":\"en-us\","
        "\"usbdevice_list\":[\"tablet\"],\"rdm_mem_boundary_memkb\":2097152}}}");
}

static void what_qemu_would_open_for_a_guest_is_refused(void **state)
{
    static const char *const fields[][2] = {
        {"serial", "file:/etc/passwd"},
        {"usbdevice", "host:1.2"},
        {"keymap", "../../etc/passwd"},
        {"boot", "c,menu=on"},
    };
    char config[128], name[64];

    (void)state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        snprintf(config, sizeof(config), "{\"b_info\":{\"type.hvm\":{\"%s\":\"%s\"}}}",
            fields[i][0], fields[i][1]);
        snprintf(name, sizeof(name), "b_info.type.hvm.%s", fields[i][0]);
        assert_out("", config, name);
    }
    assert_out("", "{\"b_info\":{\"type.hvm\":{\"serial_list\":[\"pty\",\"tcp::1\"]}}}",
        "b_info.type.hvm.serial_list");
}

static void what_reaches_the_host_is_refused(void **state)
{
    static const struct {
        const char *config, *field;
    } asked[] = {
        {"{\"b_info\":{\"iomem\":[{\"gfn\":0}]}}", "b_info.iomem"},
        {"{\"b_info\":{\"ioports\":[{}]}}", "b_info.ioports"},
        {"{\"b_info\":{\"irqs\":[0]}}", "b_info.irqs"},
        {"{\"pcidevs\":[{}]}", "pcidevs"},
        {"{\"rdms\":[{\"policy\":\"strict\"}]}", "rdms"},
        {"{\"dtdevs\":[{}]}", "dtdevs"},
        {"{\"usbctrls\":[{}]}", "usbctrls"},
        {"{\"usbdevs\":[{}]}", "usbdevs"},
        {"{\"vtpms\":[{}]}", "vtpms"},
        {"{\"p9s\":[{\"path\":\"/\"}]}", "p9s"},
        {"{\"pvcallsifs\":[{}]}", "pvcallsifs"},
        {"{\"vdispls\":[{}]}", "vdispls"},
        {"{\"vsnds\":[{}]}", "vsnds"},
        {"{\"channels\":[{\"connection.socket\":{\"path\":\"/s\"}}]}", "channels"},
        {"{\"virtios\":[{}]}", "virtios"},
        {"{\"c_info\":{\"ssid_label\":\"dom0\"}}", "c_info.ssid_label"},
        {"{\"c_info\":{\"ssidref\":1}}", "c_info.ssidref"},
        {"{\"c_info\":{\"xsdata\":{\"a\":\"b\"}}}", "c_info.xsdata.a"},
        {"{\"c_info\":{\"platformdata\":{\"a\":\"b\"}}}", "c_info.platformdata.a"},
        {"{\"c_info\":{\"driver_domain\":\"True\"}}", "c_info.driver_domain"},
        {"{\"c_info\":{\"passthrough\":\"enabled\"}}", "c_info.passthrough"},
        {"{\"c_info\":{\"pool_name\":\"dom0\"}}", "c_info.pool_name"},
        {"{\"b_info\":{\"exec_ssid_label\":\"x\"}}", "b_info.exec_ssid_label"},
        {"{\"b_info\":{\"device_model\":\"/tmp/q\"}}", "b_info.device_model"},
        {"{\"b_info\":{\"device_model_stubdomain\":\"True\"}}", "b_info.device_model_stubdomain"},
        {"{\"b_info\":{\"device_model_user\":\"root\"}}", "b_info.device_model_user"},
        {"{\"b_info\":{\"stubdomain_kernel\":\"/k\"}}", "b_info.stubdomain_kernel"},
        {"{\"b_info\":{\"extra\":[\"-chardev\"]}}", "b_info.extra"},
        {"{\"b_info\":{\"extra_pv\":[\"-chardev\"]}}", "b_info.extra_pv"},
        {"{\"b_info\":{\"extra_hvm\":[\"-chardev\"]}}", "b_info.extra_hvm"},
        {"{\"b_info\":{\"device_tree\":\"/d\"}}", "b_info.device_tree"},
        {"{\"b_info\":{\"bootloader_args\":[\"--output=/x\"]}}", "b_info.bootloader_args"},
        {"{\"b_info\":{\"nested_hvm\":\"True\"}}", "b_info.nested_hvm"},
        {"{\"b_info\":{\"altp2m\":\"external\"}}", "b_info.altp2m"},
        {"{\"b_info\":{\"vpmu\":\"True\"}}", "b_info.vpmu"},
        {"{\"b_info\":{\"vmtrace_buf_kb\":64}}", "b_info.vmtrace_buf_kb"},
        {"{\"b_info\":{\"type.pv\":{\"e820_host\":\"True\"}}}", "b_info.type.pv.e820_host"},
        {"{\"b_info\":{\"type.pvh\":{\"pvshim_path\":\"/s\"}}}", "b_info.type.pvh.pvshim_path"},
        {"{\"b_info\":{\"type.hvm\":{\"firmware\":\"/f\"}}}", "b_info.type.hvm.firmware"},
        {"{\"disks\":[{\"backend_domid\":3}]}", "disks.backend_domid"},
        {"{\"disks\":[{},{\"backend_domname\":\"d\"}]}", "disks.backend_domname"},
        {"{\"disks\":[{\"colo_host\":\"h\"}]}", "disks.colo_host"},
        {"{\"nics\":[{\"backend_domname\":\"d\"}]}", "nics.backend_domname"},
        {"{\"nics\":[{\"coloft_forwarddev\":\"d\"}]}", "nics.coloft_forwarddev"},
        {"{\"nics\":[{\"ifname\":\"x;reboot\"}]}", "nics.ifname"},
        {"{\"vfbs\":[{\"vnc\":{\"listen\":\"0.0.0.0\"}}]}", "vfbs.vnc.listen"},
        {"{\"vfbs\":[{\"sdl\":{\"xauthority\":\"/root/.x\"}}]}", "vfbs.sdl.xauthority"},
        {"{\"vfbs\":[{\"keymap\":\"../../x\"}]}", "vfbs.keymap"},
    };
    char line[128];

    (void)state;
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        snprintf(line, sizeof(line), "allow %s", asked[i].field);
        assert_widened(asked[i].config, asked[i].field, line);
    }
}

/* A later libxl's field, that nobody has thought about, may only say nothing. */
static void an_unknown_field_is_refused(void **state)
{
    (void)state;
    assert_in("", "{\"b_info\":{\"new\":\"<default>\",\"other\":0,\"more\":{\"and\":[]}}}");
    assert_widened(
        "{\"b_info\":{\"new\":{\"thing\":1}}}", "b_info.new.thing", "allow b_info.new.thing");
    assert_widened("{\"news\":[[1]]}", "news", "allow news");
    assert_widened("{\"c_info\":{\"xsdata\":{\"x\\\" into /y\":\"z\"}}}", "c_info.xsdata;",
        "allow c_info.xsdata");
    assert_widened("{\"disks\":[[1]]}", "disks", "allow disks");
}

static void paths_go_by_pattern(void **state)
{
#define DISK(path) "{\"disks\":[{\"pdev_path\":\"" path "\"}]}"
    (void)state;
    assert_in("", DISK(""));
    assert_in("", DISK("/dev/mapper/vg0-web1"));
    assert_in("", DISK("/var/lib/xen/images/web1/disk.img"));
    assert_widened(DISK("/dev/sda"), "disks.pdev_path /dev/sda", "disk /dev/sda");
    assert_widened(DISK("/etc/shadow"), "disks.pdev_path", "disk /etc/shadow");
    assert_widened(DISK("/dev/a/b/c"), "disks.pdev_path", "disk /dev/a/b/c");
    assert_in("disk /srv/*/disk*", DISK("/srv/web1/disk0"));
    assert_in("disk iqn.*", DISK("iqn.2001-04.com.example:web1"));
    assert_out("disk /srv/*", DISK("/srv/web1/disk0"), "disk /srv/web1/disk0");
    /* Not where it seems to be: no pattern reaches it. */
    assert_out("disk /srv/*/*/*", DISK("/srv/../etc/shadow"), "allow disks.pdev_path");
    assert_out("disk /srv/../etc/*", DISK("/srv/../etc/shadow"), "allow disks.pdev_path");
    assert_out("", DISK("/dev/../sda"), "allow disks.pdev_path");
    assert_out("", DISK("/var/lib/xen/images/.."), "allow disks.pdev_path");
    assert_out("disk /srv/*/*", DISK("/srv//x"), "allow disks.pdev_path");
    /* What would not mean itself is not proposed as a pattern. */
    assert_out("", DISK("/srv/*"), "allow disks.pdev_path");
    assert_out("", DISK("/srv/a b"), "allow disks.pdev_path");
    assert_out("", DISK("/srv/a\\nallow p9s"), "allow disks.pdev_path");
    assert_widened(
        "{\"b_info\":{\"kernel\":\"/etc/shadow\"}}", "b_info.kernel", "kernel /etc/shadow");
    assert_widened(
        "{\"b_info\":{\"ramdisk\":\"/etc/shadow\"}}", "b_info.ramdisk", "kernel /etc/shadow");
    assert_widened(
        "{\"b_info\":{\"type.pv\":{\"ramdisk\":\"/r\"}}}", "b_info.type.pv.ramdisk", "kernel /r");
    assert_widened("{\"b_info\":{\"bootloader\":\"/tmp/anything\"}}", "b_info.bootloader",
        "bootloader /tmp/anything");
#undef DISK
}

static void scripts_are_xens(void **state)
{
#define SCRIPT(of, name) "{\"" of "\":[{\"script\":\"" name "\",\"bridge\":\"xenbr0\"}]}"
    (void)state;
    assert_in("", SCRIPT("nics", "vif-openvswitch"));
    assert_in("allow disks.bridge", SCRIPT("disks", "/etc/xen/scripts/block"));
    assert_widened(SCRIPT("nics", "/tmp/anything"), "nics.script", "script /tmp/anything");
    assert_widened(SCRIPT("nics", "/etc/xen/scripts/qemu-ifup"), "nics.script", "script qemu-ifup");
    assert_widened(
        "{\"disks\":[{\"script\":\"block-iscsi\"}]}", "disks.script", "script block-iscsi");
    assert_out("script vif-x/*", SCRIPT("nics", "vif-x/../../../tmp/a"), "allow nics.script");
    assert_out("", SCRIPT("nics", "/etc/xen/scripts/../vif-a"), "allow nics.script");
#undef SCRIPT
}

static void bridges_have_numbers(void **state)
{
#define BRIDGE(name) "{\"nics\":[{\"bridge\":\"" name "\"}]}"
    (void)state;
    assert_in("", BRIDGE("br12"));
    assert_widened(BRIDGE("br-mgmt"), "nics.bridge br-mgmt", "bridge br-mgmt");
    /* Xen's script takes any bridge then. */
    assert_out("", BRIDGE(""), "allow nics.bridge");
    /* libxl takes its own. */
    assert_in("", "{\"nics\":[{\"devid\":0}]}");
    assert_out("bridge none\nbridge guests0", "{\"nics\":[{\"devid\":0}]}", "bridge xenbr0");
    assert_in("bridge none\nallow nics", "{\"nics\":[{\"devid\":0}]}");
    assert_in("bridge none\nbridge guests0", BRIDGE("guests0"));
#undef BRIDGE
}

static void size_has_a_limit(void **state)
{
    (void)state;
    assert_in("", "{\"b_info\":{\"max_memkb\":1099511627776}}");
    assert_in("memory 64M", "{\"b_info\":{\"max_memkb\":65536}}");
    assert_out("memory 64M", "{\"b_info\":{\"max_memkb\":65537}}", "\"memory 65537K\"");
    assert_out(
        "memory 64M", "{\"b_info\":{\"shadow_memkb\":18446744073709551615}}", "shadow_memkb");
    assert_out("memory 64M", "{\"b_info\":{\"max_memkb\":-1}}", "max_memkb");
    assert_in("", "{\"b_info\":{\"max_vcpus\":128}}");
    assert_widened("{\"b_info\":{\"max_vcpus\":129}}", "b_info.max_vcpus 129", "vcpus 129");
}

static void none_drops_what_is_built_in(void **state)
{
    (void)state;
    assert_out("disk none", ORDINARY, "disk /dev/vg0/web1");
    assert_out("script none", ORDINARY, "script ");
    assert_out("kernel none", ORDINARY, "kernel /boot/");
    assert_out("bootloader none", ORDINARY, "bootloader pygrub");
    assert_out("disk none\ndisk /dev/vg0/*", ORDINARY, "disk /var/lib");
    assert_in("disk /dev/vg0/*\n disk none\ndisk /var/lib/xen/images/*\r\n# end", ORDINARY);
}

static void a_bad_file_changes_nothing(void **state)
{
    static const char *const bad[] = {"memory 64X", "memory", "vcpus 0", "disk a b", "what now",
        "allow", "disk \x01", "memory 0", "\ndisk", "bandwidth 10", "bandwidth all"};
    static struct policy p;
    char text[400];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err e = ERR_INIT;

        policy_init(&p, PATH);
        p.max_vcpus = 7;
        snprintf(text, sizeof(text), "disk /x\n%s\n", bad[i]);
        assert_int_equal(policy_parse(&p, PATH, text, &e), -EINVAL);
        assert_int_equal(strncmp(e.text, PATH " line ", strlen(PATH " line ")), 0);
        assert_true(p.max_vcpus == 7 && p.rule_count == 0);
    }
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, "disk ", 5);
    text[sizeof(text) - 1] = '\0';

    struct err e = ERR_INIT;

    assert_int_equal(policy_parse(&p, PATH, text, &e), -EINVAL);
}

static void too_many_lines_are_refused(void **state)
{
    static char text[POLICY_MAX_RULES * 8 + 16];
    static struct policy p;
    struct err e = ERR_INIT;

    (void)state;
    for (unsigned i = 0; i < POLICY_MAX_RULES; i++)
        strcat(text, "disk /x\n");
    assert_int_equal(policy_parse(&p, PATH, text, &e), 0);
    strcat(text, "disk /x\n");
    assert_int_equal(policy_parse(&p, PATH, text, &e), -EINVAL);
}

static void the_file_is_read_if_it_is_ours(void **state)
{
    static struct policy p;
    struct host h;
    struct err e = ERR_INIT;

    (void)state;
    make_host_dir(&h);
    assert_int_equal(policy_load(&p, h.dir, &e), 0);
    assert_int_equal(p.rule_count, 0);
    put_file(&h, "policy", "vcpus 3\n", 0644);
    assert_int_equal(policy_load(&p, h.dir, &e), 0);
    assert_int_equal(p.max_vcpus, 3);
    put_file(&h, "policy", "vcpus 5\n", 0666);
    assert_int_equal(policy_load(&p, h.dir, &e), -EPERM);
    assert_non_null(strstr(e.text, "could let anything in"));
    assert_int_equal(p.max_vcpus, 3);
    drop_host(&h);
}

static void a_disk_is_a_file_or_a_block_device(void **state)
{
    static struct policy p;
    struct err e = ERR_INIT;

    (void)state;
    policy_init(&p, PATH);
    assert_int_equal(policy_check_disk(&p, "/proc/self/exe", "web1", &e), 0);
    assert_int_equal(policy_check_disk(&p, "/nonexistent/disk", "web1", &e), 0);
    assert_int_equal(policy_check_disk(&p, "iqn.2001-04.com.example", "web1", &e), 0);
    assert_int_equal(policy_check_disk(&p, "/dev/null", "web1", &e), -EPERM);
    assert_non_null(strstr(e.text, "neither a file nor a block device"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_guest_comes_in),
        cmocka_unit_test(an_ordinary_hvm_guest_comes_in),
        cmocka_unit_test(what_qemu_would_open_for_a_guest_is_refused),
        cmocka_unit_test(what_reaches_the_host_is_refused),
        cmocka_unit_test(an_unknown_field_is_refused),
        cmocka_unit_test(paths_go_by_pattern),
        cmocka_unit_test(scripts_are_xens),
        cmocka_unit_test(bridges_have_numbers),
        cmocka_unit_test(size_has_a_limit),
        cmocka_unit_test(none_drops_what_is_built_in),
        cmocka_unit_test(a_bad_file_changes_nothing),
        cmocka_unit_test(too_many_lines_are_refused),
        cmocka_unit_test(the_file_is_read_if_it_is_ours),
        cmocka_unit_test(a_disk_is_a_file_or_a_block_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
