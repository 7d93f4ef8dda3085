"""Reconciliation: Meta's own counts and match keys compared with ours.

`stored` is the entrance: it reads Meta and the lake for the assets `meta_stats` and
`dataset_quality` and for `capi-assets reconcile`. `compare` and `dataset_quality` compare tables
(pure), `our_deliveries` makes ours, `text` has the sentences.
"""
