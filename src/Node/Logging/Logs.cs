// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Node.Cli;

namespace Mooncake.Mesh.Node.Logging;

/// <summary>Makes the log: lines on standard error; frameworks speak only when something is wrong.</summary>
internal static class Logs
{
    internal static ILoggerFactory Create(Terminal terminal, LogLevel least) =>
        Create(terminal, new LogThreshold(least));

    internal static ILoggerFactory Create(Terminal terminal, LogThreshold threshold) =>
        LoggerFactory.Create(builder => Configure(builder, terminal, threshold));

    internal static void Configure(ILoggingBuilder builder, Terminal terminal, LogThreshold threshold) => builder
        .ClearProviders()
        .SetMinimumLevel(LogLevel.Trace)
        .AddFilter("Microsoft", LogLevel.Warning)
        .AddFilter("Microsoft.Extensions.Hosting", LogLevel.None)
        .AddFilter("Grpc", LogLevel.Error)
        .AddFilter("OpenTelemetry", LogLevel.Warning)
        .AddProvider(new LineLoggerProvider(terminal.Error, TimeProvider.System, threshold));

    /// <summary>Logs one event with its pairs: the template is "{key} {key}", the event its name.</summary>
    internal static void Event(this ILogger log, LogLevel level, string name, string template, params object?[] values)
    {
#pragma warning disable CA2254 // the template names the keys of the line and is constant at every caller
        log.Log(level, new EventId(0, name), template, values);
#pragma warning restore CA2254
    }
}
