"""What files may say: assets, pipelines, the glossary, connections, intervals."""
