// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Directory;

/// <summary>Whose word makes a slot complete.</summary>
public sealed class SlotPullerTests : IAsyncDisposable
{
    private readonly MeshRuntime _runtime = new() { Network = new SocketNetwork() };
    private readonly OwnerWorld _world = new("n4");
    private readonly List<IPeerListener> _listeners = [];

    /// <summary>
    /// The fourth in the list may have had the slot before, and serves it still: what the present owners have accepted
    /// since it does not know. The third, who acts when it reaches neither of them, must not deny by its word; a
    /// primary or backup has heard of what was accepted, and may.
    /// </summary>
    [Theory]
    [InlineData(2, 3, false)]
    [InlineData(3, 2, false)]
    [InlineData(2, 1, true)]
    [InlineData(2, 0, true)]
    [InlineData(1, 3, true)]
    [InlineData(0, 2, true)]
    public async Task A_third_owner_is_made_complete_by_present_owners_alone(int place, int teller, bool complete)
    {
        NodeRecord[] members = [.. Enumerable.Range(1, 4).Select(i => new NodeRecord
        {
            NodeId = $"n{i}",
            Incarnation = OwnerWorld.IncarnationOf($"n{i}"),
            Endpoints = [Listen()],
        })];
        var view = new MeshView(new MeshConfig { MeshId = 1, Slots = OwnerWorld.Slots }, 11, members);
        _world.Adopt(view);
        int slot = Enumerable.Range(0, OwnerWorld.Slots).First(slot => _world.States.PlaceOf(slot) == place);
        _world.States.SetIncomplete(slot);
        foreach (var member in members)
        {
            if (view.PlaceOf(slot, member.NodeId) == teller)
                _ = ServeAsync(member, _listeners[Array.IndexOf(members, member)]);
            else
                await _listeners[Array.IndexOf(members, member)].DisposeAsync();
        }

        var links = new PeerLinks((lane, wanted) => HelloOf(lane, "n4") with { WantedNode = wanted },
            new Handshake(null, _runtime), new PeerHandler(_runtime), _runtime, "n4");
        var calls = new MeshCalls(links, new PeerHandler(_runtime), "n4");
        var puller = new SlotPuller("n4", _world.States, _world.Owner, calls, _runtime);
        var need = new SlotSet(OwnerWorld.Slots);
        need.Add(slot);
        await puller.CompleteAsync(need, MeshView.Empty, TestContext.Current.CancellationToken);
        Assert.Equal(complete, _world.States.IsComplete(slot));
        links.Close();
    }

    public async ValueTask DisposeAsync()
    {
        _world.Dispose();
        foreach (var listener in _listeners)
            await listener.DisposeAsync();
    }

    private string Listen()
    {
        _listeners.Add(_runtime.Network.Listen("127.0.0.1:0"));
        return _listeners[^1].Endpoint;
    }

    /// <summary>Says of every slot that it is complete here, and has nothing in it.</summary>
    private async Task ServeAsync(NodeRecord node, IPeerListener listener)
    {
        var connection = await listener.AcceptAsync(CancellationToken.None);
        using var reader = new FrameReader(connection);
        await new Handshake(null, _runtime).AcceptAsync(connection, reader,
            offered => HelloOf(offered.Lane, node.NodeId), CancellationToken.None);
        reader.Open();
        var all = new SlotSet(OwnerWorld.Slots);
        for (int slot = 0; slot < OwnerWorld.Slots; slot++)
            all.Add(slot);
        while (await reader.ReadAsync(CancellationToken.None) is { IsEmpty: false } frame)
        {
            var page = new SlotPage(true, OwnerWorld.Slots, all, [], []);
            await connection.SendAsync(FrameBuffer.Of(MessageType.Answer, IdOf(frame), page).Bytes,
                CancellationToken.None);
        }
    }

    private static ulong IdOf(ReadOnlyMemory<byte> frame)
    {
        var reader = new MessagePackReader(frame);
        Wire.Enter(ref reader, 3);
        reader.Skip();
        return reader.ReadUInt64();
    }

    private static Hello HelloOf(Lane lane, string nodeId) => new()
    {
        Cluster = "t",
        Lane = lane,
        NodeId = nodeId,
        Incarnation = OwnerWorld.IncarnationOf(nodeId),
    };
}
