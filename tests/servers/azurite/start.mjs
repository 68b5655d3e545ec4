// Azurite's blob service. It ends with its standard input, so that none outlives a killed test run.
process.stdin.resume().on('end', () => process.exit());
process.argv.push('--blobPort', '0', '--inMemoryPersistence', '--skipApiVersionCheck');
process.argv.push('--disableTelemetry');
await import('azurite/dist/src/blob/main.js');
