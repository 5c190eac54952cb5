// SPDX-License-Identifier: Apache-2.0

using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Node.Cli;
using Mooncake.Mesh.Node.Logging;
using OpenTelemetry.Metrics;

namespace Mooncake.Mesh.Node.Serve;

/// <summary>One port that answers GET, and /metrics.</summary>
internal sealed class HttpPort : IAsyncDisposable
{
    /// <summary>
    /// Series an instrument may have: one for each card of a process and one for none, with room. The library
    /// keeps 72 bytes for each from the start, and by default for 2,000.
    /// </summary>
    private const int MostSeries = 128;

    private readonly WebApplication _application;

    private HttpPort(WebApplication application, string endpoint)
    {
        _application = application;
        Endpoint = endpoint;
    }

    /// <summary>The address with the port really in use.</summary>
    internal string Endpoint { get; }

    /// <summary>Starts to serve.</summary>
    /// <param name="setting">The setting that names <paramref name="address"/>, for messages.</param>
    /// <param name="address">host:port to listen on.</param>
    /// <param name="limits">Sets what a connection and a request may take.</param>
    /// <param name="meters">Meters whose instruments /metrics shows.</param>
    /// <param name="answer">Answers a GET or HEAD of any other path.</param>
    /// <param name="terminal">Where log lines go.</param>
    /// <param name="threshold">Least severe log level.</param>
    /// <param name="cancel">Gives up starting.</param>
    internal static async Task<MeshResult<HttpPort>> StartAsync(string setting, string address,
        Action<KestrelServerLimits> limits, string[] meters, RequestDelegate answer, Terminal terminal,
        LogThreshold threshold, CancellationToken cancel)
    {
        MeshResult<PeerEndpoint> parsed = PeerEndpoint.Parse(setting, address);
        if (parsed.Error is { } error)
            return error;
        WebApplication application = Build(parsed.Value, limits, meters, answer, terminal, threshold);
        try
        {
            await application.StartAsync(cancel);
        }
        catch (IOException e) when (e.InnerException is AddressInUseException)
        {
            await application.DisposeAsync();
            return new MeshError(MeshErrorCode.System, setting,
                $"port {parsed.Value.Port} of setting {setting} ({address}) is already in use");
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
        {
            await application.DisposeAsync();
            return new MeshError(MeshErrorCode.System, setting, $"setting {setting} ({address}): {e.Message}");
        }

        string used = application.Services.GetRequiredService<IServer>().Features
            .Get<IServerAddressesFeature>()!.Addresses.First();
        return new HttpPort(application, used["http://".Length..]);
    }

    /// <summary>Answers with text.</summary>
    internal static Task TextAsync(HttpContext context, int status, string text)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync(text, context.RequestAborted);
    }

    public ValueTask DisposeAsync() => _application.DisposeAsync();

    private static WebApplication Build(PeerEndpoint endpoint, Action<KestrelServerLimits> limits, string[] meters,
        RequestDelegate answer, Terminal terminal, LogThreshold threshold)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { Args = [] });
        Logs.Configure(builder.Logging, terminal, threshold);
        IPAddress address = IPAddress.TryParse(endpoint.Host, out IPAddress? ip) ? ip : IPAddress.Loopback;
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(address, endpoint.Port);
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = 0;
            limits(kestrel.Limits);
        });
        // The signals are handled by the daemon: the host must not stop the port while the node still leaves.
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.Services.AddOpenTelemetry().WithMetrics(metrics => metrics
            .AddMeter(meters)
            .AddView("*", new MetricStreamConfiguration { CardinalityLimit = MostSeries })
            .AddPrometheusExporter());

        WebApplication application = builder.Build();
        application.UseOpenTelemetryPrometheusScrapingEndpoint("/metrics");
        application.Run(context =>
            HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method)
                ? answer(context)
                : TextAsync(context, StatusCodes.Status405MethodNotAllowed, "only GET\n"));
        return application;
    }

    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
