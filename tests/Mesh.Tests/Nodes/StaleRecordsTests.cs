// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Flow;

namespace Mooncake.Mesh.Tests.Nodes;

/// <summary>Reads whose owners name what is no longer where they say.</summary>
public sealed class StaleRecordsTests
{
    private static readonly byte[] Value = [1, 2, 3];
    private readonly NodeWorld _world = NodeWorld.Started(4);
    private readonly MeshKey _key;

    public StaleRecordsTests() => _key = _world.KeyOf("n2", "n3", "n4", "n1");

    public enum Read
    {
        Whole,
        Range,
        View,
    }

    [Theory]
    [InlineData(Read.Whole)]
    [InlineData(Read.Range)]
    public void Two_owners_who_are_behind_do_not_deny_what_a_third_one_knows_who_is_not_reached(Read how)
    {
        var latest = Put(holder: "n4");
        // Nobody reaches n4, so that n2 and n3 may not deny: they have what was replaced, n4 what is there.
        foreach (string other in new[] { "n1", "n2", "n3" })
        {
            _world.Network.Cut("n4", other);
            _world.Network.Cut(other, "n4");
        }

        _world.Advance(TimeSpan.FromSeconds(4));
        long counter = latest.Version.Counter;
        Set("n2", Moved(latest, counter - 1));
        Set("n3", Moved(latest, counter - 2));
        Set("n1", null);
        var error = Run(how);
        Assert.NotNull(error);
        Assert.NotEqual(MeshErrorCode.NotFound, error.Code);

        _world.Network.Heal();
        Assert.True(_world.Until(() => Run(how) is null, TimeSpan.FromSeconds(5)));
    }

    [Theory]
    [InlineData(Read.Whole, false, MeshErrorCode.Unavailable)]
    [InlineData(Read.Range, false, MeshErrorCode.Unavailable)]
    [InlineData(Read.View, false, MeshErrorCode.Unavailable)]
    [InlineData(Read.Whole, true, MeshErrorCode.NotFound)]
    [InlineData(Read.Range, true, MeshErrorCode.NotFound)]
    [InlineData(Read.View, true, MeshErrorCode.NotFound)]
    public void What_is_replaced_whenever_it_is_read_is_no_miss_unless_it_is_gone_in_the_end(Read how, bool gone,
        MeshErrorCode expected)
    {
        var record = Put(holder: "n1");
        long counter = record.Version.Counter;
        Set("n2", Moved(record, counter));
        int replaced = 0;
        _world.Network.Sent = (from, to) =>
        {
            if (from != "n2" || to != "n1")
                return;
            replaced++;
            Set("n2", gone && replaced >= 3 ? null : Moved(record, counter + replaced));
        };
        Assert.Equal(expected, Run(how)?.Code);
        Assert.True(replaced >= 4, $"it was looked for {replaced} times");
    }

    /// <summary>The object as it was or will be, at a place where n1 does not have it.</summary>
    private ObjectRecord Moved(ObjectRecord record, long counter) => record with
    {
        Version = record.Version with { Counter = counter },
        ObjectId = record.ObjectId + (ulong)counter,
        Replicas = [new Replica(_world["n1"].Node.View.Find("n1")!.Incarnation, 0, 0, (ulong)counter + 1)],
    };

    /// <summary>Puts the value a few times into a node's memory, with n1 not having seen it. Its record.</summary>
    private ObjectRecord Put(string holder)
    {
        var options = new PutOptions { Replace = true, Placement = Placement.Preferred, PreferredNode = holder };
        for (int i = 0; i < 3; i++)
        {
            Assert.Null(_world.Run(_world["n4"], () => _world["n4"].Node.Operations.PutAsync(_key, Value, options,
                CancellationToken.None)).Error);
        }

        var table = _world["n2"].Node.Owner!.Table;
        lock (table.LockOf(table.SlotOf(_key.Hash)))
        {
            Assert.True(table.TryFind(table.SlotOf(_key.Hash), _key, out var found));
            var record = found.ToRecord();
            Set("n4", record);
            return record;
        }
    }

    /// <summary>What an owner knows of the key.</summary>
    private void Set(string owner, ObjectRecord? record)
    {
        var table = _world[owner].Node.Owner!.Table;
        int slot = table.SlotOf(_key.Hash);
        lock (table.LockOf(slot))
        {
            if (record is null)
                table.Remove(slot, _key);
            else
                table.Set(slot, _key, record);
        }
    }

    private MeshError? Run(Read how)
    {
        var limit = TimeSpan.FromSeconds(1);
        var node = _world["n1"];
        var operations = node.Node.Operations;
        using var target = new ArrayTarget();
        if (how == Read.View)
        {
            var view = _world.Run(node, () => operations.ViewAsync(_key, new ViewOptions { Deadline = limit },
                CancellationToken.None));
            if (!view.Succeeded)
                return view.Error;
            Assert.Equal(Value, view.Value.Bytes.ToArray());
            view.Value.Dispose();
            return null;
        }

        var options = new GetOptions { Deadline = limit };
        var memory = target.Prepare(Value.Length).Value;
        var got = _world.Run(node, () => how == Read.Whole
            ? operations.GetAsync(_key, target, options, CancellationToken.None)
            : operations.GetRangeAsync(new ObjectRange(_key, 0), memory, options, CancellationToken.None));
        if (got.Succeeded)
            Assert.Equal(Value, target.Array.ToArray());
        return got.Error;
    }
}
