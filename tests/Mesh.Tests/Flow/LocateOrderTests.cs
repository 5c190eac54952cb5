// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>Whom a locate asks when an owner turns out to be down while it waits for that one's answer.</summary>
public sealed class LocateOrderTests : IAsyncDisposable
{
    private static readonly MeshKey Key = new("k");
    private readonly MeshRuntime _runtime = new() { Network = new SocketNetwork() };
    private readonly List<IPeerListener> _listeners = [];

    [Fact]
    public async Task An_owner_that_is_found_to_be_down_meanwhile_does_not_hide_the_one_behind_it()
    {
        var members = Members();
        var view = new MeshView(new MeshConfig { MeshId = 1, Slots = 256 }, 1, members);
        int slot = view.SlotOf(Key.Hash);
        NodeRecord primary = view.Owner(slot, 0)!, backup = view.Owner(slot, 1)!, third = view.Owner(slot, 2)!;
        _ = ServeAsync(primary, members, null);
        _ = ServeAsync(backup, members, answer => answer.Set(0, OwnerCode.Yes, new ObjectRecord { ObjectId = 5 }));
        _ = ServeAsync(third, members, answer => answer.Set(0, OwnerCode.Unsure));

        var (context, links) = ContextOf(view);
        foreach (var member in members)
            Assert.True((await links.ConnectAsync(member, Lane.Client, TimeSpan.FromSeconds(10), default)).Succeeded);
        var deadline = new Deadline(_runtime.Time, TimeSpan.FromSeconds(20));
        var locating = LocateOperation.RunAsync(context, [Key], default, deadline, CancellationToken.None);
        // It has asked the primary and waits; another call gives the primary up.
        links.Failed(primary, new MeshError(MeshErrorCode.DeadlineExceeded, "test", "no answer"));

        var located = await locating;
        Assert.Equal(5ul, located.RecordOf(0)?.ObjectId);
        Assert.InRange(deadline.Elapsed, TimeSpan.Zero, TimeSpan.FromMilliseconds(900));
        links.Close();
    }

    [Theory]
    [InlineData(true, 2, true)]
    [InlineData(true, 1, true)]
    [InlineData(false, 2, false)]
    [InlineData(false, 1, false)]
    public async Task What_holders_do_not_have_is_denied_by_one_that_may_deny_alone(bool final, int copies, bool denied)
    {
        // An owner may know of fewer copies than those that were looked for: that is no news.
        var stale = new ObjectRecord { ObjectId = 5, Replicas = [new Replica(1, 0, 0, 7), new Replica(2, 0, 0, 8)] };
        var members = Members();
        var view = new MeshView(new MeshConfig { MeshId = 1, Slots = 256 }, 1, members);
        int slot = view.SlotOf(Key.Hash);
        _ = ServeAsync(view.Owner(slot, 0)!, members, null);
        _ = ServeAsync(view.Owner(slot, 1)!, members, answer =>
        {
            answer.Set(0, OwnerCode.Yes, stale with { Replicas = stale.Replicas[..copies] });
            answer.IsFinal = final;
        });
        _ = ServeAsync(view.Owner(slot, 2)!, members, answer => answer.Set(0, OwnerCode.Unsure));

        var (context, links) = ContextOf(view);
        // What nobody may deny is asked for until the end; a denial comes before, on a busy machine too.
        var deadline = new Deadline(_runtime.Time, TimeSpan.FromSeconds(denied ? 30 : 2));
        var located = await LocateOperation.RunAsync(context, [Key], default, deadline, CancellationToken.None, stale);
        Assert.Equal(denied, located.IsAnswered(0));
        Assert.False(denied && located.IsPresent(0));
        links.Close();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var listener in _listeners)
            await listener.DisposeAsync();
    }

    private NodeRecord[] Members() => [.. Enumerable.Range(1, 3).Select(i => new NodeRecord
    {
        NodeId = $"n{i}",
        Incarnation = (ulong)i,
        Endpoints = [Listen()],
    })];

    private (FlowContext Context, PeerLinks Links) ContextOf(MeshView view)
    {
        var links = new PeerLinks((lane, wanted) => HelloOf(lane, "", 0) with { WantedNode = wanted },
            new Handshake(null, _runtime), new PeerHandler(_runtime), _runtime, "");
        var calls = new MeshCalls(links, new PeerHandler(_runtime), "");
        var views = new ViewTracker(_runtime, () => view, _ => false) { Calls = calls };
        return (new FlowContext(_runtime, views, calls, ""), links);
    }

    private string Listen()
    {
        _listeners.Add(_runtime.Network.Listen("127.0.0.1:0"));
        return _listeners[^1].Endpoint;
    }

    /// <summary>Answers every question about the key; none without <paramref name="say"/>.</summary>
    private async Task ServeAsync(NodeRecord node, NodeRecord[] members, Action<LocateAnswer>? say)
    {
        var listener = _listeners[Array.IndexOf(members, node)];
        var connection = await listener.AcceptAsync(CancellationToken.None);
        using var reader = new FrameReader(connection);
        await new Handshake(null, _runtime).AcceptAsync(connection, reader,
            offered => HelloOf(offered.Lane, node.NodeId, node.Incarnation), CancellationToken.None);
        reader.Open();
        while (await reader.ReadAsync(CancellationToken.None) is { IsEmpty: false } frame)
        {
            var answer = new LocateAnswer(default, 1);
            if (say is null)
                continue;
            say(answer);
            await connection.SendAsync(FrameBuffer.Of(MessageType.Answer, IdOf(frame), answer).Bytes,
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

    private static Hello HelloOf(Lane lane, string nodeId, ulong incarnation) =>
        new() { Cluster = "t", Lane = lane, NodeId = nodeId, Incarnation = incarnation };
}
