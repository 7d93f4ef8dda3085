-- Orders, one row per conversion, from the exports in a folder (DuckDB).
--
--   $hour_start, $hour_end   the hours asked for, half open; bound by the run
--   $exports                 the folder of orders*.csv; CAPI_SQL_EXPORTS
--
-- Required columns: order_id, occurred_at; value and currency of a Purchase. An order also needs a
-- match key (email, phone, visit_id, fbclid ...) of its own or of its visit.
-- Rename here what has another name in your data; to query your warehouse instead, set CAPI_ORDERS_URL.
WITH exported AS (
    -- Text as it was typed: a guessed number would cost post codes and phones their zeros.
    SELECT * REPLACE (occurred_at::TIMESTAMPTZ AS occurred_at)
    FROM read_csv($exports || '/orders*.csv', header = true, all_varchar = true, union_by_name = true)
)
SELECT *
FROM exported
WHERE occurred_at >= $hour_start::TIMESTAMPTZ
  AND occurred_at < $hour_end::TIMESTAMPTZ
