// SPDX-License-Identifier: Apache-2.0

using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Node.Cli;
using Mooncake.Mesh.Node.Logging;
using OpenTelemetry.Metrics;

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

    private readonly WebApplication _application;

    private AdminServer(WebApplication application, string endpoint)
    {
        _application = application;
        Endpoint = endpoint;
    }

    /// <summary>The address with the port really in use.</summary>
    internal string Endpoint { get; }

    /// <summary>Starts to serve.</summary>
    internal static async Task<MeshResult<AdminServer>> StartAsync(
        string admin, DaemonState state, Terminal terminal, LogThreshold threshold, CancellationToken cancel)
    {
        MeshResult<PeerEndpoint> parsed = PeerEndpoint.Parse("admin", admin);
        if (parsed.Error is { } error)
            return error;
        WebApplication application = Build(parsed.Value, state, terminal, threshold);
        try
        {
            await application.StartAsync(cancel);
        }
        catch (IOException e) when (e.InnerException is AddressInUseException)
        {
            await application.DisposeAsync();
            return new MeshError(MeshErrorCode.System, "admin",
                $"port {parsed.Value.Port} of setting admin ({admin}) is already in use");
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
        {
            await application.DisposeAsync();
            return new MeshError(MeshErrorCode.System, "admin", $"setting admin ({admin}): {e.Message}");
        }

        string address = application.Services.GetRequiredService<IServer>().Features
            .Get<IServerAddressesFeature>()!.Addresses.First();
        return new AdminServer(application, address["http://".Length..]);
    }

    public ValueTask DisposeAsync() => _application.DisposeAsync();

    private static WebApplication Build(PeerEndpoint admin, DaemonState state, Terminal terminal,
        LogThreshold threshold)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { Args = [] });
        Logs.Configure(builder.Logging, terminal, threshold);
        IPAddress address = IPAddress.TryParse(admin.Host, out IPAddress? ip) ? ip : IPAddress.Loopback;
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(address, admin.Port);
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxConcurrentConnections = MaxConnections;
            kestrel.Limits.MaxRequestBodySize = 0;
            kestrel.Limits.MaxRequestLineSize = MaxRequestLine;
            kestrel.Limits.MaxRequestHeadersTotalSize = MaxHeaders;
            kestrel.Limits.RequestHeadersTimeout = HeadersTimeout;
            kestrel.Limits.KeepAliveTimeout = IdleTimeout;
        });
        // The signals are handled by the daemon: the host must not stop the admin port while the node still leaves.
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.Services.AddOpenTelemetry().WithMetrics(metrics => metrics
            .AddMeter(MeshMetrics.MeterName, DaemonMetrics.MeterName)
            .AddPrometheusExporter());

        WebApplication application = builder.Build();
        application.UseOpenTelemetryPrometheusScrapingEndpoint("/metrics");
        application.Run(context => AnswerAsync(context, state));
        return application;
    }

    private static Task AnswerAsync(HttpContext context, DaemonState state)
    {
        if (!HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method))
            return TextAsync(context, StatusCodes.Status405MethodNotAllowed, "only GET");
        switch (context.Request.Path.Value)
        {
            case "/healthz":
                return TextAsync(context, StatusCodes.Status200OK, "ok");
            case "/readyz":
                string? reason = state.NotReadyReason;
                return reason is null
                    ? TextAsync(context, StatusCodes.Status200OK, "ready")
                    : TextAsync(context, StatusCodes.Status503ServiceUnavailable, reason);
            case "/status":
                context.Response.ContentType = "application/json";
                return context.Response.Body.WriteAsync(state.StatusJson(), context.RequestAborted).AsTask();
            default:
                return TextAsync(context, StatusCodes.Status404NotFound, "/healthz /readyz /status /metrics");
        }
    }

    private static Task TextAsync(HttpContext context, int status, string text)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync(text + "\n", context.RequestAborted);
    }

    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
