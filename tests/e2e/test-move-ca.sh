#!/bin/bash
# SPDX-License-Identifier: MIT
# Hosts that a CA vouches for need no pins: a certificate of it that is in date and for the host's
# name will do; one that has expired, or is for another name, is refused at both ends in one line.
. "$E2E/lib.sh"
. "$E2E/move.sh"
command -v openssl >/dev/null || skip "the openssl command is not there"
host a
host b
mkdir -p -m 700 run-a run-b
fingerprint a >/dev/null
fingerprint b >/dev/null
quietly() { "$@" >openssl.log 2>&1 || fail "failed: $*: $(cat openssl.log)"; }
quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key \
    -out ca.pem -subj /CN=house -days 30
cp ca.pem etc-a/ca.pem
cp ca.pem etc-b/ca.pem

# certify HOST DAYS NAME: a certificate of the CA for its key and that name.
certify() {
    quietly openssl req -new -key "etc-$1/key.pem" -subj "/CN=$1" -out "$1.csr"
    printf 'subjectAltName=%s\n' "$3" >"$1.ext"
    quietly openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$2" \
        -extfile "$1.ext" -out "etc-$1/cert.pem"
}
guest a g --type pvh
certify a 30 DNS:a
certify b 30 IP:127.0.0.1
listen b
move a g
moved a b g
must "$X" destroy b g

guest a g --type pvh
at=127.0.0.1:$port
certify b -1 IP:127.0.0.1
refused 2 'expired on' a --live "$at" g -q
grep -q 'renew cert.pem' listen-b.err || fail "b said: $(cat listen-b.err)"
certify b 30 DNS:elsewhere
refused 2 'is not for "127.0.0.1"' a --live "$at" g -q
certify b 30 IP:127.0.0.1
certify a -1 DNS:a
refused 2 'expired' a --live "$at" g -q
grep -q 'the certificate of 127.0.0.1.*expired on' listen-b.err || fail "b said: $(cat listen-b.err)"
# A pin asks for no date.
trust b a
move a g
moved a b g
