// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Exports.Sessions;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Exports.Store;

/// <summary>store_c.h: objects, one at a time and in batches. What "from" and "into" name must be registered.</summary>
internal static unsafe class StoreObjectExports
{
    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_put", CallConvs = [typeof(CallConvCdecl)])]
    public static int Put(nint store, byte* key, void* value, nuint size, mooncake_replicate_config* config) =>
        (int)Door.With(store, HandleKind.Store, session => session.Live.HasLocalBuffer
            ? Put(session, Given.Key(key), Given.Range(value, size, "the value"), config)
            : Door.Fail(ErrorCodes.InvalidParams, "the store was set up with local_buffer_size 0: use put_from"));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_put_from", CallConvs = [typeof(CallConvCdecl)])]
    public static int PutFrom(nint store, byte* key, void* buffer, nuint size, mooncake_replicate_config* config) =>
        (int)Door.With(store, HandleKind.Store, session =>
            Put(session, Given.Key(key), Registered(session, buffer, size), config));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_batch_put_from", CallConvs = [typeof(CallConvCdecl)])]
    public static int BatchPutFrom(nint store, byte** keys, void** buffers, nuint* sizes, nuint count,
        mooncake_replicate_config* config, int* results) =>
        (int)Door.With(store, HandleKind.Store, session =>
        {
            int entries = Given.Count(count, (nint)keys, (nint)buffers, (nint)sizes, (nint)results);
            var options = ReplicateConfig.Options(config, session.Live);
            var batch = new Positions(keys, null, entries, i => Fault(session, buffers[i], sizes[i]));
            var values = batch.Each(i => new NativeRange((nint)buffers[i], (long)sizes[i]));
            return session.Wait(
                cancel => session.Live.Client.TryPutBatchAsync(batch.Keys, values, options, cancel),
                puts => batch.Write(results, i => Code(puts[i])));
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_get_into", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetInto(nint store, byte* key, void* buffer, nuint size) =>
        Door.With(store, HandleKind.Store, session =>
        {
            var name = Given.Key(key);
            var destination = Registered(session, buffer, size);
            return session.Wait(
                cancel => session.Live.Client.TryGetAsync(name, destination, session.Live.Gets, cancel), Size,
                destination.Length);
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_batch_get_into", CallConvs = [typeof(CallConvCdecl)])]
    public static int BatchGetInto(nint store, byte** keys, void** buffers, nuint* sizes, nuint count, long* results) =>
        (int)Door.With(store, HandleKind.Store, session =>
        {
            int entries = Given.Count(count, (nint)keys, (nint)buffers, (nint)sizes, (nint)results);
            var batch = new Positions(keys, null, entries, i => Fault(session, buffers[i], sizes[i]));
            var destinations = batch.Each(i => new NativeRange((nint)buffers[i], (long)sizes[i]));
            return session.Wait(
                cancel => session.Live.Client.TryGetBatchAsync(batch.Keys, destinations, session.Live.Gets, cancel),
                gets => batch.Write(results, i => Size(gets[i])));
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_is_exist", CallConvs = [typeof(CallConvCdecl)])]
    public static int IsExist(nint store, byte* key) =>
        (int)Door.With(store, HandleKind.Store, session =>
        {
            var name = Given.Key(key);
            return session.Wait(cancel => session.Live.Client.TryExistsAsync(name, cancel), Truth, bytes: 0);
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_batch_is_exist", CallConvs = [typeof(CallConvCdecl)])]
    public static int BatchIsExist(nint store, byte** keys, nuint count, int* results) =>
        (int)Door.With(store, HandleKind.Store, session =>
        {
            var batch = new Positions(keys, null, Given.Count(count, (nint)keys, (nint)results));
            return session.Wait(cancel => session.Live.Client.TryExistsBatchAsync(batch.Keys, cancel),
                found => batch.Write(results, i => Truth(found[i])));
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_get_size", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetSize(nint store, byte* key) =>
        Door.With(store, HandleKind.Store, session =>
        {
            MeshKey[] name = [Given.Key(key)];
            return session.Wait(cancel => session.Live.Client.TryLocateBatchAsync(name, cancel),
                static found => SizeAt(found, 0), bytes: 0);
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_remove", CallConvs = [typeof(CallConvCdecl)])]
    public static int Remove(nint store, byte* key, int force) =>
        (int)Door.With(store, HandleKind.Store, session =>
        {
            // There are no read leases that force would have to break.
            _ = force;
            var name = Given.Key(key);
            return session.Wait(cancel => session.Live.Client.TryRemoveAsync(name, cancel), Removed, bytes: 0);
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_remove_by_regex", CallConvs = [typeof(CallConvCdecl)])]
    public static long RemoveByRegex(nint store, byte* pattern, int force) =>
        Door.With(store, HandleKind.Store, session =>
        {
            _ = force;
            return Bulk.RemoveMatching(session, Given.Text(pattern, "the pattern"));
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_remove_all", CallConvs = [typeof(CallConvCdecl)])]
    public static long RemoveAll(nint store, int force) =>
        Door.With(store, HandleKind.Store, session =>
        {
            _ = force;
            return Bulk.RemoveAll(session);
        });

    /// <summary>The size, or the failure's code.</summary>
    public static long Size(MeshResult<long> got) => got.Succeeded ? got.Value : ErrorCodes.Of(got.Error!);

    /// <summary>1 or 0, or the failure's code.</summary>
    public static long Truth(MeshResult<bool> found) =>
        !found.Succeeded ? ErrorCodes.Of(found.Error!) : found.Value ? 1 : 0;

    /// <summary>0, or the failure's code; that there was nothing is one.</summary>
    public static long Removed(MeshResult<bool> removed) => !removed.Succeeded
        ? ErrorCodes.Of(removed.Error!)
        : removed.Value ? ErrorCodes.Ok : Door.Fail(ErrorCodes.ObjectNotFound, "no object has this key");

    /// <summary>0, or the failure's code.</summary>
    public static long Code(MeshResult<PutOutcome> put) => put.Succeeded ? ErrorCodes.Ok : ErrorCodes.Of(put.Error!);

    /// <summary>The size of a located object, or the failure's code.</summary>
    public static long SizeAt(ObjectLocations found, int index) =>
        found.ErrorOf(index) is { } error ? ErrorCodes.Of(error)
        : found.IsPresent(index) ? found.SizeOf(index)
        : Door.Fail(ErrorCodes.ObjectNotFound, "no object has this key");

    private static long Put(Session session, MeshKey key, NativeRange value, mooncake_replicate_config* config)
    {
        var options = ReplicateConfig.Options(config, session.Live);
        return session.Wait(cancel => session.Live.Client.TryPutAsync(key, value, options, cancel), Code,
            value.Length);
    }

    private static NativeRange Registered(Session session, void* buffer, nuint size) =>
        Fault(session, buffer, size) is { } fault ? throw fault : new NativeRange((nint)buffer, (long)size);

    private static RefusedException? Fault(Session session, void* buffer, nuint size)
    {
        if (Positions.RangeFault(buffer, size, "the buffer") is { } wrong)
            return wrong;
        return session.Memory.Contains(new NativeRange((nint)buffer, (long)size)) ? null : Given.Wrong(
            $"{size} bytes at 0x{(nint)buffer:x} lie in no registered buffer: call register_buffer first");
    }
}
