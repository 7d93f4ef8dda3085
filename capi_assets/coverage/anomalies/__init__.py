"""Anomaly detection: hours whose visits, orders and match keys do not fit together.

`detect.detect_anomalies` is the entrance for counts, `refusal_rate.RefusalBaseline` for refused
orders, `missing_visits.missing_visits` for the first days. All three are called by
`coverage.flags` only. docs/anomaly-detection.md explains the model with one worked hour.
"""
