/* SPDX-License-Identifier: MIT */
/* What a guest would miss on this host: as many lines as its source takes, whatever its texts are.
 */
#include "cmd/xmigrate/lacking.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct log none = {LOG_ERROR, NULL, NULL};
static char lacks[MESSAGE_LACKS_BYTES];

static void find_for(
    libxl_device_disk *disks, int disk_count, libxl_device_nic *nics, int nic_count)
{
    libxl_domain_config config = {
        .disks = disks, .num_disks = disk_count, .nics = nics, .num_nics = nic_count};

    lacking_find(&config, "", &none, lacks);
}

static void what_is_there_is_not_told(void **state)
{
    libxl_device_disk disks[] = {
        {.vdev = (char *)"xvda", .pdev_path = (char *)"/proc/self/exe"},
        {.vdev = (char *)"xvdb", .pdev_path = (char *)"/nowhere", .script = (char *)"block-iscsi"},
        {.vdev = (char *)"xvdc", .pdev_path = (char *)"/nowhere", .backend_domid = 3},
        {.vdev = (char *)"xvdd", .pdev_path = (char *)"rbd:pool/image"},
        {.vdev = (char *)"xvde"},
    };
    libxl_device_nic nics[] = {{.bridge = (char *)"nobridge", .script = (char *)"vif-route"}};

    (void)state;
    find_for(disks, 5, nics, 1);
    assert_string_equal(lacks, "");
}

static void each_is_told_in_a_line(void **state)
{
    libxl_device_disk disks[] = {
        {.vdev = (char *)"xvda", .pdev_path = (char *)"/nowhere"},
        {.vdev = (char *)"xvdb", .pdev_path = (char *)"/no\nwhere\x1b[2J"},
    };
    libxl_device_nic nics[] = {
        {.devid = 1, .bridge = (char *)"nobridge"}, {.devid = 2, .bridge = (char *)"../.."}};

    (void)state;
    find_for(disks, 2, nics, 2);
    assert_string_equal(lacks, "its disk xvda (/nowhere) is not there\n"
                               "its disk xvdb (/no?where?[2J) is not there\n"
                               "there is no bridge nobridge for its vif 1\n"
                               "there is no bridge ../.. for its vif 2");
}

static void no_more_are_told_than_are_taken(void **state)
{
    libxl_device_disk disks[200];
    unsigned lines = 1;
    char path[2][200];

    (void)state;
    memset(path, 'x', sizeof(path));
    path[0][0] = path[1][0] = '/';
    path[0][10] = path[1][199] = '\0';
    for (int length = 0; length < 2; length++) {
        for (int i = 0; i < 200; i++)
            disks[i] = (libxl_device_disk){.vdev = (char *)"xvda", .pdev_path = path[length]};
        find_for(disks, 200, NULL, 0);
        lines = 1;
        for (const char *at = lacks; (at = strchr(at, '\n')); at++)
            lines++;
        assert_int_equal(lines, MESSAGE_MAX_LACKS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_is_not_told),
        cmocka_unit_test(each_is_told_in_a_line),
        cmocka_unit_test(no_more_are_told_than_are_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
