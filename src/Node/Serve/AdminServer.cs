// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Node.Cli;
using Mooncake.Mesh.Node.Logging;

namespace Mooncake.Mesh.Node.Serve;

/// <summary>The admin port: /healthz, /readyz, /status and /metrics, on loopback only.</summary>
internal sealed class AdminServer : IAsyncDisposable
{
    /// <summary>Most connections at one time.</summary>
    internal const int MaxConnections = 64;

    /// <summary>Largest request line, in bytes.</summary>
    internal const int MaxRequestLine = 4096;

    /// <summary>Largest headers of a request, in bytes.</summary>
    internal const int MaxHeaders = 16 * 1024;

    /// <summary>How long the headers of a request may take.</summary>
    internal static readonly TimeSpan HeadersTimeout = TimeSpan.FromSeconds(5);

    /// <summary>How long a connection lies idle.</summary>
    internal static readonly TimeSpan IdleTimeout = TimeSpan.FromSeconds(30);

    private readonly HttpPort _port;

    private AdminServer(HttpPort port) => _port = port;

    /// <summary>The address with the port really in use.</summary>
    internal string Endpoint => _port.Endpoint;

    /// <summary>Starts to serve.</summary>
    internal static async Task<MeshResult<AdminServer>> StartAsync(
        string admin, DaemonState state, Terminal terminal, LogThreshold threshold, CancellationToken cancel)
    {
        MeshResult<HttpPort> port = await HttpPort.StartAsync("admin", admin, limits =>
        {
            limits.MaxConcurrentConnections = MaxConnections;
            limits.MaxRequestLineSize = MaxRequestLine;
            limits.MaxRequestHeadersTotalSize = MaxHeaders;
            limits.RequestHeadersTimeout = HeadersTimeout;
            limits.KeepAliveTimeout = IdleTimeout;
        }, [MeshMetrics.MeterName, DaemonMetrics.MeterName], context => AnswerAsync(context, state), terminal,
            threshold, cancel);
        return port.Error is { } error ? error : new AdminServer(port.Value);
    }

    public ValueTask DisposeAsync() => _port.DisposeAsync();

    private static Task AnswerAsync(HttpContext context, DaemonState state)
    {
        switch (context.Request.Path.Value)
        {
            case "/healthz":
                return HttpPort.TextAsync(context, StatusCodes.Status200OK, "ok\n");
            case "/readyz":
                string? reason = state.NotReadyReason;
                return reason is null
                    ? HttpPort.TextAsync(context, StatusCodes.Status200OK, "ready\n")
                    : HttpPort.TextAsync(context, StatusCodes.Status503ServiceUnavailable, reason + "\n");
            case "/status":
                context.Response.ContentType = "application/json";
                return context.Response.Body.WriteAsync(state.StatusJson(), context.RequestAborted).AsTask();
            default:
                return HttpPort.TextAsync(context, StatusCodes.Status404NotFound,
                    "/healthz /readyz /status /metrics\n");
        }
    }
}
