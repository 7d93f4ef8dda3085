-- Orders of Shopify's orders export (Admin > Orders > Export), as `orders` (DuckDB).
--
--   $shopify_orders   the export, or a pattern of several; CAPI_SQL_SHOPIFY_ORDERS
--
-- The export has a line for each item; only the first line of an order has its total.
WITH lines AS (
    SELECT *, strptime("Created at", '%Y-%m-%d %H:%M:%S %z') AS created
    FROM read_csv($shopify_orders, header = true, all_varchar = true, union_by_name = true)
),
items AS (
    SELECT
        "Name",
        to_json(list("Lineitem sku") FILTER ("Lineitem sku" IS NOT NULL)) AS content_ids,
        sum("Lineitem quantity"::INTEGER) AS num_items
    FROM lines
    GROUP BY "Name"
)
SELECT
    "Name" AS order_id,
    created AS occurred_at,
    "Total" AS value,
    "Currency" AS currency,
    CASE
        WHEN "Cancelled at" IS NOT NULL THEN 'cancelled'
        WHEN "Financial Status" IN ('paid', 'partially_refunded') THEN 'confirmed'
        WHEN "Financial Status" = 'refunded' THEN 'refunded'
        WHEN "Financial Status" = 'voided' THEN 'cancelled'
        ELSE 'pending'  -- authorized, pending, partially_paid
    END AS status,
    CASE "Source" WHEN 'pos' THEN 'physical_store' ELSE 'website' END AS action_source,
    "Email" AS email,
    coalesce("Billing Phone", "Phone") AS phone,
    ltrim("Billing Zip", '''') AS zip,  -- Shopify writes '07001 so that Excel keeps the zero
    "Billing City" AS city,
    "Billing Province" AS state,
    "Billing Country" AS country,
    content_ids,
    num_items
FROM lines
JOIN items USING ("Name")
WHERE
    "Total" IS NOT NULL  -- the first line of each order
    AND created >= $hour_start
    AND created < $hour_end
