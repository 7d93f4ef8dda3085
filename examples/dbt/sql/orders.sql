SELECT order_id, occurred_at, value, currency, email, visit_id
FROM read_parquet($warehouse || '/orders.parquet')
WHERE occurred_at >= $hour_start AND occurred_at < $hour_end
