// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Tests.Segments;

/// <summary>Small stores with fixed seeds.</summary>
internal static class TestStores
{
    public const long Granule = ExtentAllocator.Granule;

    public static MeshRuntime Runtime { get; } =
        new() { Network = null!, Random = RandomSource.FromSeed(7) };

    public static ObjectStore Create(params long[] lengths) => Create(null, lengths);

    public static ObjectStore Create(IEvictionPolicy? policy, params long[] lengths)
    {
        var options = new List<SegmentOptions>();
        foreach (long length in lengths)
            options.Add(new SegmentOptions { Length = length, HugePages = false, PreTouch = false });
        return ObjectStore.Create(options, Runtime, policy).Value;
    }

    public static RecordVersion Version(long counter) => new(1, 1, counter);

    public static HeldObject Sealed(ObjectStore store, string key, ulong objectId, long size) =>
        store.Seal(store.Reserve(new MeshKey(key), objectId, size).Value, checksum: objectId);

    public static HeldObject Committed(ObjectStore store, string key, ulong objectId, long size, long version = 1)
    {
        HeldObject held = Sealed(store, key, objectId, size);
        Assert.True(store.Commit(held, Version(version)));
        return held;
    }

    public static void AddsUp(ObjectStore store)
    {
        StoreUsage usage = store.Usage;
        Assert.Equal(usage.Capacity, usage.Used + usage.Free);
        Assert.True(usage.Live >= 0 && usage.Filling >= 0 && usage.Zombie >= 0, usage.ToString());
    }
}
