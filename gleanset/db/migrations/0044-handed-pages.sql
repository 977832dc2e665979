-- Pages of people in the browser, which a server that is started again goes on with.
CREATE TABLE handed_page(
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    person TEXT,
    page TEXT NOT NULL);
CREATE TRIGGER handed_page_limit AFTER INSERT ON handed_page
    BEGIN DELETE FROM handed_page WHERE person IS new.person AND number<=(
    SELECT number FROM handed_page WHERE person IS new.person ORDER BY number DESC
    LIMIT 1 OFFSET 100); END;
