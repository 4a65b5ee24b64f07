/* SPDX-License-Identifier: MIT */
#include "cmd/event_fields.h"

const struct field progress_fields[] = {
    FIELD_COUNT32("round", struct progress_report, round),
    FIELD_COUNT("round_pages", struct progress_report, round_pages),
    FIELD_COUNT("round_done_pages", struct progress_report, round_done_pages),
    FIELD_COUNT("round_sent_pages", struct progress_report, round_sent_pages),
    FIELD_COUNT("round_aux_bytes", struct progress_report, round_aux_bytes),
    FIELD_COUNT("wire_bytes", struct progress_report, wire_bytes),
    FIELD("send_pages_per_s", FIELD_REAL, struct progress_report, send_pages_per_s),
    FIELD("dirty_pages_per_s", FIELD_REAL, struct progress_report, dirty_pages_per_s),
    FIELD_COUNT("predicted_downtime_ns", struct progress_report, predicted_downtime_ns),
    FIELD_COUNT("watch_left_ns", struct progress_report, watch_left_ns),
    FIELDS_END,
};

const struct field round_fields[] = {
    FIELD_COUNT32("round", struct round_report, round),
    FIELD("last", FIELD_BOOL, struct round_report, last),
    FIELD_COUNT("pages", struct round_report, pages),
    FIELD_COUNT("data_pages", struct round_report, data_pages),
    FIELD_COUNT("zero_pages", struct round_report, zero_pages),
    FIELD_COUNT("delta_pages", struct round_report, delta_pages),
    FIELD_COUNT("skipped_pages", struct round_report, skipped_pages),
    FIELD_COUNT("kept_pages", struct round_report, kept_pages),
    FIELD_COUNT("deferred_pages", struct round_report, deferred_pages),
    FIELD_COUNT("wire_bytes", struct round_report, wire_bytes),
    FIELD_COUNT("aux_entries", struct round_report, aux_entries),
    FIELD_COUNT("aux_bytes", struct round_report, aux_bytes),
    FIELD_COUNT("aux_left_bytes", struct round_report, aux_left_bytes),
    FIELD_COUNT("duration_ns", struct round_report, duration_ns),
    FIELD("send_pages_per_s", FIELD_REAL, struct round_report, send_pages_per_s),
    FIELD_COUNT("dirty_pages", struct round_report, dirty_pages),
    FIELD("dirty_pages_per_s", FIELD_REAL, struct round_report, dirty_pages_per_s),
    FIELD_COUNT("clean_ns", struct round_report, clean_ns),
    FIELD_COUNT("predicted_downtime_ns", struct round_report, predicted_downtime_ns),
    FIELDS_END,
};

const struct field prediction_fields[] = {
    FIELD_COUNT("downtime_ns", struct prediction, whole_ns),
    FIELD_COUNT("low_ns", struct prediction, low_ns),
    FIELD_COUNT("high_ns", struct prediction, high_ns),
    FIELD_COUNT("suspend_ns", struct prediction, suspend_ns),
    FIELD_COUNT("last_round_ns", struct prediction, pages_ns),
    FIELD_COUNT("finish_ns", struct prediction, receiver_ns),
    FIELD_COUNT("network_ns", struct prediction, network_ns),
    FIELDS_END,
};

const struct field downtime_fields[] = {
    FIELD_COUNT("suspend_ns", struct downtime_report, suspend_ns),
    FIELD_COUNT("clean_ns", struct downtime_report, clean_ns),
    FIELD_COUNT("last_round_ns", struct downtime_report, last_round_ns),
    FIELD_COUNT("state_ns", struct downtime_report, state_ns),
    FIELD_COUNT("receiver_ns", struct downtime_report, receiver_ns),
    FIELD_COUNT("disks_ns", struct downtime_report, disks_ns),
    FIELDS_END,
};

const struct field lane_fields[] = {
    FIELD_COUNT("batches", struct lane_profile, batches),
    FIELD_COUNT("wire_bytes", struct lane_profile, wire_bytes),
    FIELD_COUNT("allocations", struct lane_profile, allocations),
    FIELD_COUNT("types_cpu_ns", struct lane_profile, types_cpu_ns),
    FIELD_COUNT("map_cpu_ns", struct lane_profile, map_cpu_ns),
    FIELD_COUNT("canonicalise_cpu_ns", struct lane_profile, canonicalise_cpu_ns),
    FIELD_COUNT("zero_scan_cpu_ns", struct lane_profile, zero_scan_cpu_ns),
    FIELD_COUNT("encode_cpu_ns", struct lane_profile, encode_cpu_ns),
    FIELD_COUNT("encrypt_cpu_ns", struct lane_profile, encrypt_cpu_ns),
    FIELD_COUNT("send_cpu_ns", struct lane_profile, send_cpu_ns),
    FIELD_COUNT("cpu_ns", struct lane_profile, cpu_ns),
    FIELD_COUNT("wait_ns", struct lane_profile, wait_ns),
    FIELD_COUNT("paced_ns", struct lane_profile, paced_ns),
    FIELDS_END,
};

const struct field total_fields[] = {
    FIELD_COUNT32("rounds", struct total_report, rounds),
    FIELD_COUNT("data_pages", struct total_report, data_pages),
    FIELD_COUNT("zero_pages", struct total_report, zero_pages),
    FIELD_COUNT("delta_pages", struct total_report, delta_pages),
    FIELD_COUNT("delta_saved_bytes", struct total_report, delta_saved_bytes),
    FIELD_COUNT("wire_bytes", struct total_report, wire_bytes),
    FIELD_COUNT("aux_entries", struct total_report, aux_entries),
    FIELD_COUNT("aux_bytes", struct total_report, aux_bytes),
    FIELD_COUNT("total_ns", struct total_report, total_ns),
    FIELD("encryption", FIELD_LINE, struct total_report, encryption),
    FIELD("predicted", FIELD_PARTS, struct total_report, predicted, .parts = prediction_fields),
    FIELD("downtime", FIELD_PARTS, struct total_report, downtime, .parts = downtime_fields),
    FIELDS_END,
};

const struct field dest_result_fields[] = {
    FIELD_COUNT("populated_pages", struct dest_result, arrival.populated_pages),
    FIELD_COUNT("wire_bytes", struct dest_result, wire_bytes),
    FIELD_COUNT("finish_ns", struct dest_result, arrival.finish_ns),
    FIELDS_END,
};

struct prediction fold_prediction(const struct prediction *p)
{
    struct prediction folded = *p;

    folded.pages_ns = prediction_last_round_ns(p);
    folded.receiver_ns = p->state_ns + p->receiver_ns;
    folded.clean_ns = folded.state_ns = 0;
    return folded;
}
