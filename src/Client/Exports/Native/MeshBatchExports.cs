// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.Json;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Exports.Sessions;
using Mooncake.Mesh.Exports.Store;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Exports.Native;

/// <summary>mooncake_mesh.h: many objects at once; one result per position, in order.</summary>
internal static unsafe class MeshBatchExports
{
    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_put_batch", CallConvs = [typeof(CallConvCdecl)])]
    public static long PutBatch(nint mesh, byte** keys, nuint* keySizes, void** values, nuint* sizes, nuint count,
        mooncake_mesh_put_options* options, long* results) => Door.With(mesh, HandleKind.Mesh, session =>
        {
            int entries = Given.Count(count, (nint)keys, (nint)keySizes, (nint)values, (nint)sizes, (nint)results);
            var batch = new Positions(keys, keySizes, entries,
                i => Positions.RangeFault(values[i], sizes[i], "the value"));
            NativeRange[][] pieces = batch.Each<NativeRange[]>(i => [new NativeRange((nint)values[i], (long)sizes[i])]);
            return PutAll(session, batch, pieces, options, entries, results);
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_put_parts_batch", CallConvs = [typeof(CallConvCdecl)])]
    public static long PutPartsBatch(nint mesh, byte** keys, nuint* keySizes, void** parts, nuint* sizes,
        nuint* partCounts, nuint count, mooncake_mesh_put_options* options, long* results) =>
        Door.With(mesh, HandleKind.Mesh, session =>
        {
            int entries = Given.Count(count, (nint)keys, (nint)keySizes, (nint)partCounts, (nint)results);
            var (batch, pieces) = Pieced(keys, keySizes, parts, sizes, partCounts, entries);
            return PutAll(session, batch, pieces, options, entries, results);
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_exists_batch", CallConvs = [typeof(CallConvCdecl)])]
    public static long ExistsBatch(nint mesh, byte** keys, nuint* keySizes, nuint count, long* results) =>
        Door.With(mesh, HandleKind.Mesh, session =>
        {
            var batch = new Positions(keys, keySizes, Given.Count(count, (nint)keys, (nint)keySizes, (nint)results));
            return session.Wait(cancel => session.Live.Client.TryExistsBatchAsync(batch.Keys, cancel),
                found => batch.Write(results, i => StoreObjectExports.Truth(found[i])));
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_size_batch", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetSizeBatch(nint mesh, byte** keys, nuint* keySizes, nuint count, long* results) =>
        Door.With(mesh, HandleKind.Mesh, session =>
        {
            var batch = new Positions(keys, keySizes, Given.Count(count, (nint)keys, (nint)keySizes, (nint)results));
            return session.Wait(cancel => session.Live.Client.TryLocateBatchAsync(batch.Keys, cancel),
                found => batch.Write(results, i => StoreObjectExports.SizeAt(found, i)));
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_remove_batch", CallConvs = [typeof(CallConvCdecl)])]
    public static long RemoveBatch(nint mesh, byte** keys, nuint* keySizes, nuint count, long* results) =>
        Door.With(mesh, HandleKind.Mesh, session =>
        {
            var batch = new Positions(keys, keySizes, Given.Count(count, (nint)keys, (nint)keySizes, (nint)results));
            return session.Wait(cancel => session.Live.Client.TryRemoveBatchAsync(batch.Keys, cancel),
                removed => batch.Write(results, i => StoreObjectExports.Removed(removed[i])));
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_locate_batch", CallConvs = [typeof(CallConvCdecl)])]
    public static long LocateBatch(nint mesh, byte** keys, nuint* keySizes, nuint count, byte** json, nuint* size) =>
        Door.With(mesh, HandleKind.Mesh, session =>
        {
            NewMemory.Clear((void**)json, size);
            int entries = Given.Count(count, (nint)keys, (nint)keySizes);
            var batch = new Positions(keys, keySizes, entries);
            return session.Wait(cancel => session.Live.Client.TryLocateBatchAsync(batch.Keys, cancel),
                found => NewMemory.Give(JsonOf(batch, found, entries), (void**)json, size));
        });

    private static long PutAll(Session session, Positions batch, NativeRange[][] pieces,
        mooncake_mesh_put_options* options, int entries, long* results)
    {
        var asked = PutOptionsReader.Read(options, session.Live, entries);
        return session.Wait(
            cancel => session.Live.Client.TryPutBatchAsync(batch.Keys, pieces, i => asked(batch.At(i)), cancel),
            puts => batch.Write(results, i => StoreObjectExports.Code(puts[i])));
    }

    /// <summary>The positions of a batch of values in pieces, and their pieces.</summary>
    public static (Positions Batch, NativeRange[][] Pieces) Pieced(byte** keys, nuint* keySizes, void** parts,
        nuint* sizes, nuint* counts, int entries)
    {
        _ = Given.Count((nuint)PieceLists.Total(counts, entries), (nint)parts, (nint)sizes);
        int[] starts = PieceLists.Starts(counts, entries);
        var batch = new Positions(keys, keySizes, entries,
            i => PieceLists.Fault(parts, sizes, starts[i], (int)counts[i]));
        return (batch, batch.Each(i => PieceLists.Read(parts + starts[i], sizes + starts[i], (int)counts[i])));
    }

    private static ReadOnlySpan<byte> JsonOf(Positions batch, ObjectLocations found, int entries)
    {
        int[] called = new int[entries];
        Array.Fill(called, -1);
        for (int i = 0; i < batch.Keys.Count; i++)
            called[batch.At(i)] = i;
        var bytes = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(bytes);
        json.WriteStartArray();
        foreach (int i in called)
        {
            json.WriteStartObject();
            json.WriteNumber("size", i < 0 ? ErrorCodes.InvalidParams : StoreObjectExports.SizeAt(found, i));
            json.WriteNumber("copies", i < 0 ? 0 : found.CopiesOf(i));
            json.WriteStartArray("nodes");
            foreach (string node in i < 0 ? [] : found.NodesOf(i))
                json.WriteStringValue(node);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.Flush();
        return bytes.WrittenSpan;
    }
}
