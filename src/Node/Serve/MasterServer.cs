// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Node.Cli;
using Mooncake.Mesh.Node.Logging;

namespace Mooncake.Mesh.Node.Serve;

/// <summary>
/// What routers ask Mooncake's master by HTTP: /health, /get_all_segments, /batch_query_keys and /metrics. Off unless
/// an address is set. It asks for no secret and changes nothing.
/// </summary>
internal sealed class MasterServer : IAsyncDisposable
{
    /// <summary>Most connections at one time.</summary>
    internal const int MaxConnections = 256;

    /// <summary>Largest request line, in bytes: the keys are in it.</summary>
    internal const int MaxRequestLine = 512 * 1024;

    /// <summary>Most keys of a request.</summary>
    internal const int MaxKeys = 4096;

    private readonly HttpPort _port;
    private readonly MasterMetrics _metrics;

    private MasterServer(HttpPort port, MasterMetrics metrics)
    {
        _port = port;
        _metrics = metrics;
    }

    /// <summary>The address with the port really in use.</summary>
    internal string Endpoint => _port.Endpoint;

    /// <summary>Starts to serve.</summary>
    internal static async Task<MeshResult<MasterServer>> StartAsync(
        string address, DaemonState state, Terminal terminal, LogThreshold threshold, CancellationToken cancel)
    {
        var metrics = new MasterMetrics(state);
        MeshResult<HttpPort> port = await HttpPort.StartAsync("masterHttp", address, limits =>
        {
            limits.MaxConcurrentConnections = MaxConnections;
            limits.MaxRequestLineSize = MaxRequestLine;
            limits.MaxRequestHeadersTotalSize = AdminServer.MaxHeaders;
            limits.RequestHeadersTimeout = AdminServer.HeadersTimeout;
            limits.KeepAliveTimeout = AdminServer.IdleTimeout;
        }, [MeshMetrics.MeterName, DaemonMetrics.MeterName, MasterMetrics.MeterName],
            context => AnswerAsync(context, state), terminal, threshold, cancel);
        if (port.Error is not { } error)
            return new MasterServer(port.Value, metrics);
        metrics.Dispose();
        return error;
    }

    public async ValueTask DisposeAsync()
    {
        await _port.DisposeAsync();
        _metrics.Dispose();
    }

    private static Task AnswerAsync(HttpContext context, DaemonState state)
    {
        switch (context.Request.Path.Value)
        {
            case "/health":
                return HttpPort.TextAsync(context, StatusCodes.Status200OK, "OK");
            case "/get_all_segments" or "/batch_query_keys" when state.NotServingReason is { } reason:
                return HttpPort.TextAsync(context, StatusCodes.Status503ServiceUnavailable,
                    $"service plane is not active: {reason}");
            case "/get_all_segments":
                return HttpPort.TextAsync(context, StatusCodes.Status200OK, Segments(state.Node!.View));
            case "/batch_query_keys":
                return KeysAsync(context, state.Node!);
            default:
                return HttpPort.TextAsync(context, StatusCodes.Status404NotFound,
                    "/health /get_all_segments /batch_query_keys /metrics\n");
        }
    }

    private static string Segments(MeshView view) =>
        string.Concat(view.Members.Where(member => member.Segments.Count > 0).Select(member => member.NodeId + "\n"));

    private static async Task KeysAsync(HttpContext context, MeshNode node)
    {
        string[] keys = context.Request.Query["keys"].ToString()
            .Split(',', StringSplitOptions.RemoveEmptyEntries);
        context.Response.ContentType = "application/json; charset=utf-8";
        if (keys.Length is 0 or > MaxKeys)
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            await context.Response.WriteAsync(keys.Length == 0
                ? """{"success":false,"error":"No keys provided. Use ?keys=key1,key2,..."}"""
                : """{"success":false,"error":"Too many keys"}""", context.RequestAborted);
            return;
        }

        // A key twice is one field of the answer.
        MeshKey[] asked = [.. keys.Distinct(StringComparer.Ordinal).Select(key => new MeshKey(key))];
        MeshKey[] legal = [.. asked.Where(key => key.Validate() is null)];
        Located located = await node.Operations.LocateAsync(legal, null, context.RequestAborted);
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            Write(json, asked, legal, located, node.View);
        }

        buffer.Position = 0;
        await buffer.CopyToAsync(context.Response.Body, context.RequestAborted);
    }

    private static void Write(Utf8JsonWriter json, MeshKey[] asked, MeshKey[] legal, Located located, MeshView view)
    {
        json.WriteStartObject();
        json.WriteBoolean("success", true);
        json.WriteStartObject("data");
        int index = 0;
        foreach (MeshKey key in asked)
        {
            json.WriteStartObject(key.ToString());
            if (index < legal.Length && legal[index] == key)
                WriteKey(json, located, index++, view);
            else
                WriteError(json, "INVALID_KEY");
            json.WriteEndObject();
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteKey(Utf8JsonWriter json, Located located, int index, MeshView view)
    {
        if (!located.IsAnswered(index) || !located.IsPresent(index))
        {
            WriteError(json, located.IsAnswered(index) ? "OBJECT_NOT_FOUND" : "RPC_FAIL");
            return;
        }

        json.WriteBoolean("ok", true);
        json.WriteStartArray("values");
        foreach (Replica replica in located.RecordOf(index)?.Replicas ?? [])
        {
            if (view.FindIncarnation(replica.Incarnation) is not { } holder)
                continue;
            json.WriteStartObject();
            json.WriteNumber("size_", located.ShapeOf(index).Size);
            json.WriteNumber("buffer_address_", 0);
            json.WriteString("protocol_", "tcp");
            json.WriteString("transport_endpoint_", holder.NodeId);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteError(Utf8JsonWriter json, string error)
    {
        json.WriteBoolean("ok", false);
        json.WriteString("error", error);
    }
}
