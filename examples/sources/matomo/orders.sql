-- Orders of Matomo's visits log, as `orders` (DuckDB); see visits.sql.
--
--   $matomo_visits   a pattern of the files; CAPI_SQL_MATOMO_VISITS
WITH actions AS (
    SELECT visitorId, userId, visitIp, siteCurrency, unnest(actionDetails) AS a
    FROM read_json(
        $matomo_visits,
        columns = {
            visitorId: 'VARCHAR', userId: 'VARCHAR', visitIp: 'VARCHAR', siteCurrency: 'VARCHAR',
            actionDetails: 'STRUCT(type VARCHAR, "timestamp" BIGINT, orderId VARCHAR, revenue VARCHAR,
                items VARCHAR, itemDetails STRUCT(itemSKU VARCHAR, price DOUBLE, quantity BIGINT)[])[]'
        }
    )
)
SELECT
    a.orderId AS order_id,
    to_timestamp(a.timestamp) AS occurred_at,
    a.revenue AS value,
    siteCurrency AS currency,
    a.items AS num_items,
    [{'id': i.itemSKU, 'quantity': i.quantity, 'item_price': i.price} FOR i IN a.itemDetails]
        AS contents,
    coalesce(userId, visitorId) AS external_id,
    visitIp AS client_ip_address
FROM actions
WHERE
    a.type = 'ecommerceOrder'
    AND to_timestamp(a.timestamp) >= $hour_start
    AND to_timestamp(a.timestamp) < $hour_end
