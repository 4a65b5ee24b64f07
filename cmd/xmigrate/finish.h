/*
 * How long this host needs to finish a domain once the last byte is there: the source adds it to
 * the downtime that it predicts. Told from what earlier migrations took, kept in the run directory
 * as lines of "DEVICES NANOSECONDS"; without one, from the number of devices.
 */
#ifndef CMD_XMIGRATE_FINISH_H
#define CMD_XMIGRATE_FINISH_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Never an error: no past is a past too. */
int64_t finish_estimate_ns(unsigned devices);

int finish_record(unsigned devices, int64_t took_ns, struct err *e);

/* Pure: the median of the newest few with as many devices, from the file's text: one move on a
 * busy host must not spoil the next predictions. */
int64_t finish_from_text(const char *text, size_t len_bytes, unsigned devices);

#endif
