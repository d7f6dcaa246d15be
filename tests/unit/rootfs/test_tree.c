/* test_tree.c: names while layers are applied. */
#include "../oci/stand.h"

#include "rootfs/tree.h"

#include <stdio.h>
#include <string.h>

static struct tree_entry *add(struct tree *tree, struct tree_entry *directory,
                              const char *name, enum tree_type type)
{
    struct tree_entry *entry = NULL;

    assert_int_equal(
        tree_add(tree, directory, name, strlen(name), type, &entry, NULL), 0);
    return entry;
}

static struct tree_entry *find(const struct tree *tree,
                               const struct tree_entry *directory,
                               const char *name)
{
    return tree_find(tree, directory, name, strlen(name));
}

static void test_tree_finds_what_was_added_in_that_directory(void **state)
{
    struct tree tree;
    struct tree_entry *a;
    struct tree_entry *x;

    (void)state;
    assert_int_equal(tree_init(&tree, 2, 100, NULL), 0);
    a = add(&tree, tree.root, "a", TREE_DIRECTORY);
    x = add(&tree, a, "x", TREE_FILE);
    assert_ptr_equal(find(&tree, tree.root, "a"), a);
    assert_ptr_equal(find(&tree, a, "x"), x);
    assert_null(find(&tree, tree.root, "x"));
    assert_null(tree_find(&tree, a, "xy", 2));
    tree_remove(&tree, x);
    assert_null(find(&tree, a, "x"));
    assert_null(a->first);
    assert_int_equal(tree.count, 1);
    tree_done(&tree);
}

static void test_tree_keeps_100000_names_in_order(void **state)
{
    enum { COUNT = 100000 };
    struct tree tree;
    struct tree_entry *at;
    char name[32];
    int i = 0;

    (void)state;
    assert_int_equal(tree_init(&tree, 2, COUNT, NULL), 0);
    for (i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%d", i);
        add(&tree, tree.root, name, TREE_FILE);
    }
    assert_int_equal(tree_add(&tree, tree.root, "y", 1, TREE_FILE, &at, NULL),
                     SM_ELIMIT);
    i = 0;
    for (at = tree.root->first; at; at = tree_next(at)) {
        snprintf(name, sizeof name, "%d", i++);
        assert_memory_equal(at->name, name, strlen(name));
        assert_ptr_equal(find(&tree, tree.root, name), at);
    }
    assert_int_equal(i, COUNT);
    tree_done(&tree);
}

static void test_tree_walks_down_and_up(void **state)
{
    static const char *const down[] = {"a", "b", "c", "d"};
    static const char *const up[] = {"c", "b", "a", "d"};
    struct tree tree;
    struct tree_entry *a;
    struct tree_entry *b;
    struct tree_entry *at;
    int i = 0;

    (void)state;
    assert_int_equal(tree_init(&tree, 2, 100, NULL), 0);
    a = add(&tree, tree.root, "a", TREE_DIRECTORY);
    b = add(&tree, a, "b", TREE_DIRECTORY);
    add(&tree, b, "c", TREE_FILE);
    add(&tree, tree.root, "d", TREE_FILE);
    for (at = tree_walk(tree.root, tree.root); at;
         at = tree_walk(tree.root, at))
        assert_memory_equal(at->name, down[i++], 1);
    assert_int_equal(i, 4);
    i = 0;
    for (at = tree_deepest(tree.root); at != tree.root;) {
        struct tree_entry *next = tree_walk_up(tree.root, at);

        assert_memory_equal(at->name, up[i++], 1);
        tree_remove(&tree, at);
        at = next;
    }
    assert_int_equal(i, 4);
    assert_int_equal(tree.count, 0);
    tree_done(&tree);
}

static void test_tree_bounds_depth_and_names(void **state)
{
    struct tree tree;
    struct tree_entry *at;
    struct tree_entry *none;
    char name[TREE_NAME_MAX + 1];

    (void)state;
    assert_int_equal(tree_init(&tree, 2, 10000, NULL), 0);
    memset(name, 'n', sizeof name);
    assert_int_equal(
        tree_add(&tree, tree.root, name, TREE_NAME_MAX, TREE_FILE, &at, NULL),
        0);
    assert_int_equal(tree_add(&tree, tree.root, name, TREE_NAME_MAX + 1,
                              TREE_FILE, &none, NULL),
                     SM_EIMAGE);
    at = tree.root;
    for (int i = 0; i < TREE_DEPTH_MAX; i++)
        at = add(&tree, at, "d", TREE_DIRECTORY);
    assert_int_equal(tree_add(&tree, at, "d", 1, TREE_FILE, &none, NULL),
                     SM_EIMAGE);
    tree_done(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_finds_what_was_added_in_that_directory),
        cmocka_unit_test(test_tree_keeps_100000_names_in_order),
        cmocka_unit_test(test_tree_walks_down_and_up),
        cmocka_unit_test(test_tree_bounds_depth_and_names),
    };

    return cmocka_run_group_tests_name("rootfs_tree", tests, NULL, NULL);
}
