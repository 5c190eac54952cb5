// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Tests.Support;

namespace Mooncake.Mesh.Tests.Directory;

/// <summary>Whose word makes a slot complete.</summary>
public sealed class SlotPullerTests : IAsyncDisposable
{
    private readonly ScriptedPeers _peers = new();
    private readonly OwnerWorld _world = new("n4");

    /// <summary>
    /// The fourth in the list may have had the slot before, and serves it still: what the present owners have accepted
    /// since it does not know. The third, who acts when it reaches neither of them, must not deny by its word; a
    /// primary or backup has heard of what was accepted, and may. One that acts no longer, as one of them came back
    /// while it was told, is told of nothing from then on.
    /// </summary>
    [Theory]
    [InlineData(2, 3, true, false)]
    [InlineData(3, 2, true, false)]
    [InlineData(2, 1, true, true)]
    [InlineData(2, 0, true, true)]
    [InlineData(2, 1, false, false)]
    [InlineData(2, 0, false, false)]
    [InlineData(3, 0, false, false)]
    [InlineData(1, 3, false, true)]
    [InlineData(0, 2, true, true)]
    public async Task A_third_owner_is_made_complete_by_present_owners_alone_and_while_it_acts(int place, int teller,
        bool acts, bool complete)
    {
        var members = _peers.Members(4, i => OwnerWorld.IncarnationOf($"n{i}"));
        var view = new MeshView(new MeshConfig { MeshId = 1, Slots = OwnerWorld.Slots }, 11, members);
        _world.Adopt(view);
        int slot = Enumerable.Range(0, OwnerWorld.Slots).First(slot => _world.States.PlaceOf(slot) == place);
        _world.States.SetIncomplete(slot);
        for (int before = 0; acts && before < place; before++)
            _world.Unreachable.Add(view.Owner(slot, before)!.NodeId);
        foreach (var member in members)
        {
            if (view.PlaceOf(slot, member.NodeId) == teller)
                _peers.Serve(member, (_, id) => Empty(id));
            else
                await _peers.EndAsync(member);
        }

        var links = _peers.LinksOf("n4", OwnerWorld.IncarnationOf("n4"));
        var calls = new MeshCalls(links, new PeerHandler(_peers.Runtime), "n4");
        var puller = new SlotPuller("n4", _world.States, _world.Owner, calls, _peers.Runtime);
        var need = new SlotSet(OwnerWorld.Slots);
        need.Add(slot);
        await puller.CompleteAsync(need, MeshView.Empty, TestContext.Current.CancellationToken);
        Assert.Equal(complete, _world.States.IsComplete(slot));
    }

    public async ValueTask DisposeAsync()
    {
        _world.Dispose();
        await _peers.DisposeAsync();
    }

    /// <summary>Says of every slot that it is complete here, and has nothing in it.</summary>
    private static FrameBuffer Empty(ulong id)
    {
        var all = new SlotSet(OwnerWorld.Slots);
        for (int slot = 0; slot < OwnerWorld.Slots; slot++)
            all.Add(slot);
        return ScriptedPeers.Answer(id, new SlotPage(true, OwnerWorld.Slots, all, [], []));
    }
}
