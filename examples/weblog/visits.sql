-- Page views of a web server's combined log, as `visits` (DuckDB).
--
--   $hour_start, $hour_end   the hours asked for, half open; bound by the ingest
--   $weblog_dir              the folder of access.log.gz; CAPI_SQL_WEBLOG_DIR
--   $shift_to                ISO 8601 time with zone; its hour is where the log's last hour is to
--                            end, so that a log of 2015 runs as if it ended today;
--                            CAPI_SQL_SHIFT_TO
-- Remove the shift (and `clock`) to read a log of your own as it is.
WITH lines AS (
    -- One column: a delimiter that no log holds, no quotes, nothing to guess.
    SELECT line
    FROM read_csv(
        $weblog_dir || '/access.log.gz',
        columns = {'line': 'VARCHAR'},
        delim = chr(1), quote = '', escape = '', header = false, auto_detect = false
    )
),
requests AS MATERIALIZED (
    -- The last quote is optional: a crawler's cut-off user agent lost its own. More fields may
    -- follow, as in nginx's `main` format. A line that is no request (a port scan's
    -- "\x16\x03\x01") has no time here and is left out; README.md counts such lines.
    SELECT
        line,
        regexp_extract(
            line,
            '^(\S+) \S+ \S+ \[([^\]]+)\] "(\S+) (\S+)[^"]*" (\d{3}) \S+ "([^"]*)" "([^"]*)(?:"(?: .*)?)?$',
            ['ip', 'time', 'method', 'target', 'status', 'referrer', 'agent']
        ) AS r,
        -- Naive UTC from here on: no result may depend on the session's time zone.
        try_strptime(r['time'], '%d/%b/%Y:%H:%M:%S %z') AT TIME ZONE 'UTC' AS logged_at
    FROM lines
),
clock AS (
    SELECT date_trunc('hour', $shift_to::TIMESTAMPTZ AT TIME ZONE 'UTC')
        - (date_trunc('hour', max(logged_at)) + INTERVAL 1 HOUR) AS shift
    FROM requests
)
SELECT DISTINCT  -- the same line twice (a double click within one second) is one visit
    md5(line) AS visit_id,
    (logged_at + shift) AT TIME ZONE 'UTC' AS occurred_at,
    -- A log does not name its host; the orders do.
    'https://shop.example' || r['target'] AS page_url,
    nullif(r['referrer'], '-') AS referrer_url,
    r['ip'] AS client_ip_address,
    -- Kept where it is "-" (none was sent): the order of such a visitor says the same.
    r['agent'] AS client_user_agent
FROM requests, clock
WHERE (logged_at + shift) AT TIME ZONE 'UTC' >= $hour_start::TIMESTAMPTZ
  AND (logged_at + shift) AT TIME ZONE 'UTC' < $hour_end::TIMESTAMPTZ
  -- A page view: something was read, and it was no part of another page. Feeds and plain text are
  -- pages, and robots stay: whether a visitor buys is for the orders to say.
  AND r['method'] = 'GET'
  AND r['status'] IN ('200', '304')
  AND NOT regexp_matches(
      lower(split_part(r['target'], '?', 1)),
      '\.(png|jpe?g|gif|ico|svg|css|js|woff2?|ttf|otf|eot)$'
  )
ORDER BY occurred_at, visit_id
