-- The hours asked for of an export of many, with its own columns (DuckDB); columns.toml maps them.
--
--   $woo_orders   the export, or a pattern of several; CAPI_SQL_WOO_ORDERS
--   $woo_zone     the shop's time zone: Europe/Berlin; CAPI_SQL_WOO_ZONE
SELECT * REPLACE (timezone($woo_zone, order_date::TIMESTAMP) AS order_date)
FROM read_csv($woo_orders, header = true, all_varchar = true, union_by_name = true)
WHERE
    timezone($woo_zone, order_date::TIMESTAMP) >= $hour_start
    AND timezone($woo_zone, order_date::TIMESTAMP) < $hour_end
