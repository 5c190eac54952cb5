// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;

namespace Mooncake.Mesh.Node.Serve;

/// <summary>What the admin port tells: the node, and why it is not ready while it is not. Thread-safe.</summary>
internal sealed class DaemonState
{
    private volatile MeshNode? _node;
    private volatile string? _phase = "starting";

    /// <summary>The running node, or null.</summary>
    internal MeshNode? Node => _node;

    /// <summary>Why the node should get no work, or null.</summary>
    internal string? NotReadyReason
    {
        get
        {
            if (_phase is { } phase)
                return phase;
            MeshNode? node = _node;
            if (node is null)
                return "starting";
            if (!node.Ready)
                return node.NotReadyReason ?? "not ready";
            return Degraded ? "degraded: the registry is away" : null;
        }
    }

    /// <summary>Why the node cannot answer for the mesh, or null; without the registry it still can.</summary>
    internal string? NotServingReason => _phase ?? (_node is { Ready: false } node ? node.NotReadyReason : null);

    /// <summary>Whether the registry is away.</summary>
    internal bool Degraded => _node?.Status().Degraded ?? false;

    /// <summary>The node has started.</summary>
    internal void Started(MeshNode node)
    {
        _node = node;
        _phase = null;
    }

    /// <summary>The node is leaving.</summary>
    internal void Leaving() => _phase = "leaving";

    /// <summary>The node's status as JSON.</summary>
    internal byte[] StatusJson()
    {
        if (_node is { } node)
            return node.Status().ToJson();
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("state", _phase);
            json.WriteEndObject();
        }

        return buffer.ToArray();
    }
}
