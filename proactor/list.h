/* Private: a circular doubly linked list of embedded nodes. A zero node is in no list. */
#ifndef PROACTOR_LIST_H
#define PROACTOR_LIST_H

#include <proactor/operation.h>

static inline void pro__list_init(struct pro_list_node *list)
{
	list->next = list;
	list->prev = list;
}

static inline bool pro__list_is_empty(const struct pro_list_node *list)
{
	return list->next == list;
}

static inline void pro__list_append(struct pro_list_node *list, struct pro_list_node *node)
{
	node->next = list;
	node->prev = list->prev;
	list->prev->next = node;
	list->prev = node;
}

static inline void pro__list_remove(struct pro_list_node *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = NULL;
	node->prev = NULL;
}

static inline bool pro__list_contains(const struct pro_list_node *node)
{
	return node->next != NULL;
}

#endif
