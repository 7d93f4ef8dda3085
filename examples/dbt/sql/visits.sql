SELECT visit_id, occurred_at, client_ip_address, client_user_agent
FROM read_parquet($warehouse || '/visits.parquet')
WHERE occurred_at >= $hour_start AND occurred_at < $hour_end
