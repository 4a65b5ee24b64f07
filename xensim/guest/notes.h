/* SPDX-License-Identifier: MIT */
/* The ELF notes that stand in a guest's memory as in a kernel's image. */
#ifndef XENSIM_GUEST_NOTES_H
#define XENSIM_GUEST_NOTES_H

#include "xensim/guest/kernel.h"

/* INDEX_NOTES' two pages: among other bytes the notes, across their border. */
void guest_fill_notes(const struct guest_kernel *k, uint8_t pages[static 2 * PAGE_BYTES]);

#endif
