-- Visits, one row each, from the exports in a folder (DuckDB).
--
--   $hour_start, $hour_end   the hours asked for, half open; bound by the run
--   $exports                 the folder of visits*.csv; CAPI_SQL_EXPORTS
--
-- Required columns: visit_id, occurred_at. Further ones that help to match: page_url, fbclid, fbc, fbp,
-- client_ip_address, client_user_agent, external_id, email, phone, consent.
-- Rename here what has another name in your data; to query your warehouse instead, set CAPI_VISITS_URL.
WITH exported AS (
    -- Text as it was typed: a guessed number would cost post codes and phones their zeros.
    SELECT * REPLACE (occurred_at::TIMESTAMPTZ AS occurred_at)
    FROM read_csv($exports || '/visits*.csv', header = true, all_varchar = true, union_by_name = true)
)
SELECT *
FROM exported
WHERE occurred_at >= $hour_start::TIMESTAMPTZ
  AND occurred_at < $hour_end::TIMESTAMPTZ
