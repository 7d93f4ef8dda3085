-- Purchases of the GA4 export to BigQuery, as `orders` (DuckDB), from tables events_* that were extracted as
-- newline-delimited JSON. For Parquet write read_parquet($ga4_events) in place of read_json(...).
--
--   $ga4_events   a pattern of the files; CAPI_SQL_GA4_EVENTS
--
-- event_timestamp is microseconds, UTC; event_date is of the property's time zone and not used.
WITH events AS (
    SELECT
        *,
        make_timestamp(event_timestamp::BIGINT) AT TIME ZONE 'UTC' AS occurred_at,
        map_from_entries([(p.key, p.value) FOR p IN event_params]) AS params
    FROM read_json(
        $ga4_events,
        format = 'newline_delimited',
        columns = {
            event_timestamp: 'BIGINT', event_name: 'VARCHAR', user_id: 'VARCHAR',
            user_pseudo_id: 'VARCHAR', privacy_info: 'STRUCT(ads_storage VARCHAR)',
            event_params: 'STRUCT(key VARCHAR, value STRUCT(string_value VARCHAR, int_value BIGINT))[]',
            ecommerce: 'STRUCT(transaction_id VARCHAR, purchase_revenue DOUBLE)',
            items: 'STRUCT(item_id VARCHAR, price DOUBLE, quantity BIGINT)[]'
        }
    )
)
SELECT
    ecommerce.transaction_id AS order_id,
    occurred_at,
    ecommerce.purchase_revenue AS value,
    params['currency'].string_value AS currency,
    [{'id': i.item_id, 'quantity': i.quantity, 'item_price': i.price} FOR i IN items] AS contents,
    params['page_location'].string_value AS event_source_url,
    coalesce(user_id, user_pseudo_id) AS external_id,
    privacy_info.ads_storage AS consent
FROM events
WHERE
    event_name = 'purchase'
    AND occurred_at >= $hour_start
    AND occurred_at < $hour_end
