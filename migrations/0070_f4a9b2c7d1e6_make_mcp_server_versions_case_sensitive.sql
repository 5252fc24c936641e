-- revision: f4a9b2c7d1e6
-- down: 8b6ad64cb8f5
-- title: make MCP server versions case-sensitive

-- Nothing to do here.
