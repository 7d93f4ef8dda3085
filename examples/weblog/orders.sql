-- Orders of the log's visitors, as `orders` (DuckDB).
--
--   $hour_start, $hour_end   the hours asked for, half open; bound by the ingest
--   $weblog_dir              the folder of orders.csv and access.log.gz; CAPI_SQL_WEBLOG_DIR
--   $shift_to                as in visits.sql; CAPI_SQL_SHIFT_TO
--
-- The shift is the log's, taken from the log: an order must stay where it was beside its visit.
WITH log_times AS (
    SELECT try_strptime(
        regexp_extract(line, '\[([^\]]+)\]', 1), '%d/%b/%Y:%H:%M:%S %z'
    ) AT TIME ZONE 'UTC' AS logged_at
    FROM read_csv(
        $weblog_dir || '/access.log.gz',
        columns = {'line': 'VARCHAR'},
        delim = chr(1), quote = '', escape = '', header = false, auto_detect = false
    )
),
clock AS (
    SELECT date_trunc('hour', $shift_to::TIMESTAMPTZ AT TIME ZONE 'UTC')
        - (date_trunc('hour', max(logged_at)) + INTERVAL 1 HOUR) AS shift
    FROM log_times
),
shifted AS (
    -- Text as it was typed: a guessed number would cost post codes and phones their zeros.
    SELECT
        o.* REPLACE (
            (o.occurred_at::TIMESTAMPTZ AT TIME ZONE 'UTC' + shift) AT TIME ZONE 'UTC'
            AS occurred_at
        )
    FROM read_csv($weblog_dir || '/orders.csv', header = true, all_varchar = true) AS o, clock
)
SELECT *
FROM shifted
WHERE occurred_at >= $hour_start::TIMESTAMPTZ
  AND occurred_at < $hour_end::TIMESTAMPTZ
ORDER BY occurred_at, order_id
