"""Controls that the tests of their own experiments break."""

#: Controls over a whole run's measurements, by the test that breaks them: its text says that each has failed.
_ANATOMY = {"keys_and_values_make_both", "own_keys", "same_donor", "field_cut_off", "own_attention"}
ELSEWHERE = dict.fromkeys(_ANATOMY, "test_anatomy.py")
ELSEWHERE |= dict.fromkeys(("full_patch_of_crossed", "self_patch_of_crossed"), "test_origin.py")
ELSEWHERE |= dict.fromkeys(("planted_findings", "clean_records"), "test_audit.py")
_SERVING = {"served_in_calm", "log_probabilities_told", "server_says_what_model_says", "hits_equal_counters"}
_SERVING |= {"served_under_load", "same_under_load", "updates_served", "updates_exact"}
_SERVING |= {"told_under_load", "told_in_updates"}
ELSEWHERE |= dict.fromkeys(_SERVING, "test_serving_summary.py")
_FAULTS = {"nothing_wrong_served", "faults_checked", "answered_in_the_end", "faults_happened"}
ELSEWHERE |= dict.fromkeys(_FAULTS, "test_serving_faults.py")
ELSEWHERE |= dict.fromkeys(("stale_fails", "right_succeeds"), "test_tau2.py")
ELSEWHERE |= dict.fromkeys(("tools_tell_states", "unchanged_alike"), "test_tau2_episodes.py")
_PROGRAMMABLE = ("isolated_edit_equals_prefill", "blind_splice_equals_prefill")
ELSEWHERE |= dict.fromkeys(_PROGRAMMABLE, "test_programmable_roles.py")
_INSIDE = {"conflict_ends_equal_patches", "isolation_equals_knockout"}
_INSIDE |= {"isolated_field_leaves_no_trace", "cut_off_field_leaves_no_gap"}
ELSEWHERE |= dict.fromkeys(_INSIDE, "test_programmable_inside.py")
_LOCOMO = {
    "session_at_own_position",
    "whole_sessions_run_anew",
    "unturned_keys_show",
    "gold_answers_are_right",
}
ELSEWHERE |= dict.fromkeys(_LOCOMO, "test_locomo_controls.py")
_ARCHITECTURES = ("operations_exact_or_refused", "appended_equals_whole")
ELSEWHERE |= dict.fromkeys(_ARCHITECTURES, "test_architectures.py")
ELSEWHERE |= dict.fromkeys(("groups_equal_states", "edits_meet_patches"), "test_prompt.py")
_MEMORY = {
    "memory_at_own_position",
    "memory_run_anew",
    "recompiled_equals_written",
    "all_recomputed_equals_written",
    "edited_setting_equals_written",
    "edit_moves_nothing_else",
    "golds_follow_from_the_text",
    "same_tokens",
    "prefix_cache_equals_prefill",
}
ELSEWHERE |= dict.fromkeys(_MEMORY, "test_memory_controls.py")
_PICTURES = ("runner_equals_own_forward", "moved_equals_masked", "swapped_pictures_disagree")
ELSEWHERE |= dict.fromkeys(_PICTURES, "test_vision.py")
_SPLITS = {"splits_share_no_thing", "splits_share_no_picture"}
_SPLITS |= {"grey_picture_tells_nothing", "other_picture_tells_nothing"}
ELSEWHERE |= dict.fromkeys(_SPLITS, "test_train_vision.py")
