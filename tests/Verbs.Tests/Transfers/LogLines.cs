// SPDX-License-Identifier: Apache-2.0

using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>Keeps what is logged, and shows it with the test's result.</summary>
internal sealed class LogLines : ILoggerFactory, ILogger
{
    private readonly ConcurrentQueue<string> _lines = new();
    private readonly ITestOutputHelper? _output = TestContext.Current.TestOutputHelper;
    private readonly long _start = Environment.TickCount64;

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider)
    {
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter)
    {
        if (!IsEnabled(logLevel))
            return;
        string line = $"{logLevel} {formatter(state, exception)} {exception}";
        _lines.Enqueue(line);
        try
        {
            _output?.WriteLine($"{Environment.TickCount64 - _start,6} ms {line}");
        }
        catch (InvalidOperationException)
        {
            // The test is over; what still ends may say so.
        }
    }

    public void Dispose()
    {
    }

    /// <summary>How many lines have this in them.</summary>
    internal int Count(string what) => _lines.Count(line => line.Contains(what, StringComparison.Ordinal));
}
