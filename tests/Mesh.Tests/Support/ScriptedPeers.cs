// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Support;

/// <summary>Peers on sockets that say what a test has them say, and one who asks them.</summary>
internal sealed class ScriptedPeers : IAsyncDisposable
{
    private readonly Dictionary<string, IPeerListener> _listeners = [];
    private readonly List<PeerLinks> _links = [];

    /// <summary>What all of them run on.</summary>
    public MeshRuntime Runtime { get; } = new() { Network = new SocketNetwork() };

    /// <summary>A listener that nobody answers at yet; its endpoint.</summary>
    public string Listen()
    {
        var listener = Runtime.Network.Listen("127.0.0.1:0");
        _listeners.Add(listener.Endpoint, listener);
        return listener.Endpoint;
    }

    /// <summary>Nodes n1, n2 and so on, each with a listener.</summary>
    public NodeRecord[] Members(int count, Func<int, ulong> incarnation) => [.. Enumerable.Range(1, count).Select(i =>
        new NodeRecord { NodeId = $"n{i}", Incarnation = incarnation(i), Endpoints = [Listen()] })];

    /// <summary>Answers every request at a node.</summary>
    /// <param name="node">The node.</param>
    /// <param name="answer">The answer to a request with this number; null: there is none.</param>
    public void Serve(NodeRecord node, Func<MessageType, ulong, FrameBuffer?> answer) =>
        _ = ServeAllAsync(node, answer);

    /// <summary>Nobody listens there any more.</summary>
    public ValueTask EndAsync(NodeRecord node) => _listeners[node.Endpoints[0]].DisposeAsync();

    /// <summary>Connections of one who asks.</summary>
    public PeerLinks LinksOf(string nodeId, ulong incarnation)
    {
        _links.Add(new PeerLinks((lane, wanted) => HelloOf(lane, nodeId, incarnation) with { WantedNode = wanted },
            new Handshake(null, Runtime), new PeerHandler(Runtime), Runtime, nodeId));
        return _links[^1];
    }

    /// <summary>What a client works with that has this view, and adopts no other.</summary>
    public (FlowContext Context, PeerLinks Links) ClientOf(MeshView view)
    {
        var links = LinksOf("", 0);
        var calls = new MeshCalls(links, new PeerHandler(Runtime), "");
        var views = new ViewTracker(Runtime, () => view, _ => false) { Calls = calls };
        return (new FlowContext(Runtime, views, calls, ""), links);
    }

    /// <summary>An answer.</summary>
    public static FrameBuffer Answer<T>(ulong id, in T message)
        where T : IWireMessage<T> => FrameBuffer.Of(MessageType.Answer, id, message);

    public async ValueTask DisposeAsync()
    {
        _links.ForEach(links => links.Close());
        foreach (var listener in _listeners.Values)
            await listener.DisposeAsync();
    }

    private async Task ServeAllAsync(NodeRecord node, Func<MessageType, ulong, FrameBuffer?> answer)
    {
        var listener = _listeners[node.Endpoints[0]];
        while (true)
        {
            var connection = await listener.AcceptAsync(CancellationToken.None);
            _ = ServeAsync(node, connection, answer);
        }
    }

    private async Task ServeAsync(NodeRecord node, IPeerConnection connection,
        Func<MessageType, ulong, FrameBuffer?> answer)
    {
        using var reader = new FrameReader(connection);
        await new Handshake(null, Runtime).AcceptAsync(connection, reader,
            offered => HelloOf(offered.Lane, node.NodeId, node.Incarnation), CancellationToken.None);
        reader.Open();
        while (await reader.ReadAsync(CancellationToken.None) is { IsEmpty: false } frame)
        {
            var (type, id) = HeadOf(frame);
            if (answer(type, id) is { } said)
                await connection.SendAsync(said.Bytes, CancellationToken.None);
        }
    }

    private static (MessageType Type, ulong Id) HeadOf(ReadOnlyMemory<byte> frame)
    {
        var reader = new MessagePackReader(frame);
        Wire.Enter(ref reader, 3);
        return ((MessageType)reader.ReadInt32(), reader.ReadUInt64());
    }

    private static Hello HelloOf(Lane lane, string nodeId, ulong incarnation) =>
        new() { Cluster = "t", Lane = lane, NodeId = nodeId, Incarnation = incarnation };
}
