/* SPDX-License-Identifier: MIT */
/*
 * What the way out and the way in ask of Xen, over plain memory: a program that calls fake_xen_...
 * is linked with these in place of engine/xen's xen, foreign, hbuf and build. Two domains: one that
 * is sent and one that is built, HVM containers, whose frames are pages of a memfd each.
 */
#ifndef TESTS_FAKE_XEN_H
#define TESTS_FAKE_XEN_H

#include <stdbool.h>
#include <stdint.h>

enum { FAKE_SOURCE = 1, FAKE_DEST = 2, FAKE_PAGE_BYTES = 4096 };

/* Both have so many frames: the source's all zeros, the destination's of rubbish and not yet
 * populated. Everything that was asked to fail fails no more. */
void fake_xen_begin(unsigned frames);
void fake_xen_end(void);

/* Where a page lies; a test may write to it. */
uint8_t *fake_xen_page(uint32_t domid, uint64_t frame);

/* How often frame was given to the destination. */
unsigned fake_xen_populated(uint64_t frame);

/* Xen has memory for so many more pages of the destination. */
void fake_xen_memory(unsigned pages);

/* xen_open() works so many times more. */
void fake_xen_opens(unsigned times);

/* Handles that are open, and frames that are mapped. */
int fake_xen_open_handles(void);
int fake_xen_mapped(void);

#endif
