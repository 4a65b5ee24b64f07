/* SPDX-License-Identifier: MIT */
#include "crypto/page_hash.h"

#include "base/limits.h"
#include "crypto/siphash.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)PAGE_HASH_BYTES == (int)SIPHASH_BYTES &&
                   (int)PAGE_HASH_KEY_BYTES == (int)SIPHASH_KEY_BYTES,
    "it is the same hash");

/* As many side by side take about as long as two one after the other. */
enum { LEAST_AT_ONCE = 3 };

struct page_hasher {
    EVP_MAC *mac;
    EVP_MAC_CTX *ctx;
    uint8_t key[PAGE_HASH_KEY_BYTES];
};

int page_hasher_create(
    const uint8_t key[static PAGE_HASH_KEY_BYTES], struct page_hasher **out, struct err *e)
{
    struct page_hasher *h = calloc(1, sizeof(*h));
    size_t hash_bytes = PAGE_HASH_BYTES;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &hash_bytes), OSSL_PARAM_construct_end()};

    if (!h)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    memcpy(h->key, key, sizeof(h->key));
    h->mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    h->ctx = h->mac ? EVP_MAC_CTX_new(h->mac) : NULL;
    if (!h->ctx || !EVP_MAC_CTX_set_params(h->ctx, params)) {
        page_hasher_destroy(h);
        return err_set(e, ERR_LOCAL, EIO, "OpenSSL has no SipHash");
    }
    *out = h;
    return 0;
}

void page_hasher_destroy(struct page_hasher *h)
{
    if (!h)
        return;
    EVP_MAC_CTX_free(h->ctx);
    EVP_MAC_free(h->mac);
    explicit_bzero(h->key, sizeof(h->key));
    free(h);
}

int page_hash(
    struct page_hasher *h, const void *page, uint8_t hash[static PAGE_HASH_BYTES], struct err *e)
{
    size_t len_bytes = 0;

    if (EVP_MAC_init(h->ctx, h->key, sizeof(h->key), NULL) &&
        EVP_MAC_update(h->ctx, page, PAGE_BYTES) &&
        EVP_MAC_final(h->ctx, hash, &len_bytes, PAGE_HASH_BYTES) && len_bytes == PAGE_HASH_BYTES)
        return 0;
    return err_set(e, ERR_INTERNAL, EIO, "cannot hash a page");
}

/* Up to SIPHASH_PAGES. */
static bool hash_at_once(struct page_hasher *h, const void *const *pages, unsigned count,
    uint8_t (*hashes)[PAGE_HASH_BYTES])
{
    const void *all[SIPHASH_PAGES];
    uint8_t of_all[SIPHASH_PAGES][SIPHASH_BYTES];

    for (unsigned i = 0; i < SIPHASH_PAGES; i++)
        all[i] = pages[i < count ? i : 0];
    if (count < LEAST_AT_ONCE || !siphash_pages(h->key, all, of_all))
        return false;
    memcpy(hashes, of_all, count * sizeof(of_all[0]));
    return true;
}

int page_hashes(struct page_hasher *h, const void *const *pages, unsigned count,
    uint8_t (*hashes)[PAGE_HASH_BYTES], struct err *e)
{
    int rc = 0;

    for (unsigned at = 0, n; at < count && !rc; at += n) {
        n = count - at < SIPHASH_PAGES ? count - at : SIPHASH_PAGES;
        if (hash_at_once(h, pages + at, n, hashes + at))
            continue;
        for (unsigned i = at; i < at + n && !rc; i++)
            rc = page_hash(h, pages[i], hashes[i], e);
    }
    return rc;
}
